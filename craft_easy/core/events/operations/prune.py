"""Pruning: old records that are done go into an archive, and leave the log when the copy is known to be good.

    from craft_easy.core.events import pruning
    from craft_easy.core.events.operations.archive import FileArchive

    before = await store.now() - timedelta(days=90)
    async with FileArchive("2026-q1.ndjson.gz") as archive:
        pruned = await pruning.prune(store, pruning.Old(before), archive)

A record leaves the log only after its copy was read back and is the same to the byte, only where its `rev` is still
the one that was copied, and never while an event that caused it is open or dead: a retry of that would publish it
anew. Whoever is killed has lost nothing: what was copied and not removed is copied again by the next run. Publishers,
workers and other prunings may be at work meanwhile.

An event that was pruned is new to the log: published again, its handlers run again. So what is pruned should be older
than anything that a publisher may still try again.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from craft_easy.core.events import hooks
from craft_easy.core.events.model.counts import Counts
from craft_easy.core.events.store.deliveries import Tracked
from craft_easy.core.events.store.queries import prune as prune_queries
from craft_easy.core.events.store.queries.archive_collection import CollectionArchive
from craft_easy.core.events.store.queries.prune import Copy, Old

if TYPE_CHECKING:
    from craft_easy.core.events.store import EventStore

__all__ = ["Archive", "CollectionArchive", "Old", "Pruned", "count", "estimate", "prune"]

MAX_NAMED: Final = 100


class Archive(Protocol):
    """Where copies go: `archive.FileArchive`, or `CollectionArchive`."""

    async def keep(self, copies: Sequence[Copy]) -> list[Copy]:
        """Keep copies, read them back, and return the records of which there is no exact copy."""


@dataclass(slots=True)
class Pruned:
    """What a pruning is about to remove, or has removed.

    `counts` are the events that go, and their deliveries. The others stay: `held` were published by a handler of an
    event that is open or dead, `changed` were written by another meanwhile, `inexact` have no exact copy in the
    archive; `inexact_ids` name the first hundred.
    """

    counts: Counts = field(default_factory=Counts)
    held: int = 0
    changed: int = 0
    inexact: int = 0
    inexact_ids: list[str] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether the archive could take every record that was to go."""
        return not self.inexact


async def estimate(store: EventStore, old: Old) -> int:
    """Return how many records are old; the server counts, and knows nothing of what caused them.

    Raises:
        StoreUnavailable: the log was not reached.
    """
    found, limit = await prune_queries.count(store, old), old.selection.limit
    return found if limit is None else min(found, limit)


async def count(store: EventStore, old: Old, *, on_counted: Callable[[int], None] | None = None) -> Pruned:
    """Count what `prune` would remove now; nothing is written.

    Args:
        on_counted: is told of how many records were looked at, again and again.

    Raises:
        StoreUnavailable: the log was not reached.
    """
    pruned = Pruned()
    async with aclosing(_pages(store, old, pruned)) as pages:
        async for page in pages:
            for record in page:
                pruned.counts.add(record, _handlers(record))
            if on_counted is not None:
                on_counted(len(page))
    return pruned


async def prune(
    store: EventStore, old: Old, archive: Archive | None, *, on_removed: Callable[[int], None] | None = None
) -> Pruned:
    """Copy old records into an archive and remove them from the log.

    Args:
        archive: where the copies go; None removes without any.
        on_removed: is told of how many records have left the log, again and again.

    Raises:
        ArchiveError: the archive did not take a copy, or gave back something else; nothing of that left the log.
        StoreUnavailable: the log was not reached; the same call may be made again.
    """
    pruned = Pruned()
    async with aclosing(_pages(store, old, pruned)) as pages:
        async for page in pages:
            async with aclosing(prune_queries.copies(store, old, [record["_id"] for record in page])) as found:
                async for copies in found:
                    removed = await _remove(store, copies, archive, pruned)
                    if on_removed is not None:
                        on_removed(removed)
    return pruned


async def _pages(store: EventStore, old: Old, pruned: Pruned) -> AsyncGenerator[list[prune_queries.Record], None]:
    """Yield the records that may go, and count those that stay for the sake of what caused them."""
    left = old.selection.limit
    async with aclosing(prune_queries.listed(store, old)) as pages:
        async for page in pages:
            free = await prune_queries.without_open_parents(store, page)
            pruned.held += len(page) - len(free)
            if left is not None:
                free = free[:left]
                left -= len(free)
            if free:
                yield free
            if left == 0:
                return


async def _remove(store: EventStore, copies: Sequence[Copy], archive: Archive | None, pruned: Pruned) -> int:
    refused = [] if archive is None else await archive.keep(copies)
    for one in refused:
        pruned.inexact += 1
        if len(pruned.inexact_ids) < MAX_NAMED:
            pruned.inexact_ids.append(one.event_id)
    hooks.at("prune.verified")
    kept = [one for one in copies if not any(one is other for other in refused)]
    left = await prune_queries.remove(store, kept) if kept else []
    hooks.at("prune.removed")
    pruned.changed += len(left)
    removed = [one for one in kept if not left or one.id not in left]
    for one in removed:
        pruned.counts.add(one.document, _handlers(one.document))
    return len(removed)


def _handlers(record: Any) -> list[str]:
    return [one.id for one in Tracked.of(record).delivery.handlers]
