"""The stored events that the loaded classes refuse, and which `from_record` returns as plain `DomainEvent`s.

from craft_easy.core.events.operations.schema.stored import check_stored

async for sample in check_stored(store, entries(bus.registry), sample=1000):
    assert not sample.refusals, sample
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from craft_easy.core.events.model.envelope import is_malformed, is_redacted
from craft_easy.core.events.model.event import refusal
from craft_easy.core.events.operations.schema.entries import CatalogueEntry
from craft_easy.core.events.store.queries import handlers as handler_queries
from craft_easy.core.events.store.queries import schema as schema_queries
from craft_easy.core.events.store.queries.schema import MAX_COUNTED

if TYPE_CHECKING:
    from craft_easy.core.events.store import EventStore

__all__ = ["MAX_COUNTED", "SAMPLE", "Refusal", "TypeSample", "check_stored", "number_stored", "unclaimed_types"]

SAMPLE: Final = 1_000
MAX_REFUSALS: Final = 50
"""The maximum number of different refusals of a type; what comes after is counted under the last."""
_MAX_REASON: Final = 300


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reason for which a class refuses events.

    Args:
        field: the field, as `lines[].copies`; None for the event as a whole.
        reason: the message of Pydantic, or of the validator.
        event_id: the newest event that is refused for it.
    """

    field: str | None
    reason: str
    event_id: str


@dataclass(slots=True)
class TypeSample:
    """The newest events of a type, read through its class.

    Args:
        event_type: the type.
        class_name: the class that claims it.
        read: the number of events that were read.
        untyped: the number of those that the class refuses.
        redacted: the number of those without a payload, which are not read.
        refusals: the reasons, each with the number of events that have it.
    """

    event_type: str
    class_name: str
    read: int = 0
    untyped: int = 0
    redacted: int = 0
    refusals: Counter[Refusal] = field(default_factory=Counter)
    _known: dict[tuple[str | None, str], Refusal] = field(default_factory=dict)

    def add(self, record: Mapping[str, Any]) -> None:
        """Read one record; one that is not an event does not count."""
        if is_malformed(record):
            return
        if is_redacted(record):
            self.redacted += 1
            return
        self.read += 1
        error = refusal(record)
        if error is None:
            return
        self.untyped += 1
        for where, kind, reason in dict.fromkeys(_reasons(error)):
            self.refusals[self._refusal(where, kind, reason, record["event_id"])] += 1

    def _refusal(self, where: str | None, kind: str, reason: str, event_id: str) -> Refusal:
        key = (where, kind) if len(self._known) < MAX_REFUSALS else next(iter(self._known))
        if key not in self._known:
            self._known[key] = Refusal(where, reason, event_id)
        return self._known[key]


async def check_stored(
    store: EventStore,
    catalogue: Iterable[CatalogueEntry],
    *,
    sample: int = SAMPLE,
    observer: Callable[[int], None] | None = None,
) -> AsyncGenerator[TypeSample, None]:
    """Read the newest events of each type through its class, and yield what was found, type by type.

    Args:
        store: the event log.
        catalogue: the types.
        sample: the maximum number of events of a type.
        observer: called with the number of events of each page.

    Raises:
        StoreUnavailable: the log was not reached.
    """
    for entry in catalogue:
        found = TypeSample(entry.event_type, entry.schema.class_name)
        async with aclosing(schema_queries.newest(store, entry.event_type, sample)) as pages:
            async for page in pages:
                for record in page:
                    found.add(record)
                if observer is not None:
                    observer(len(page))
        yield found


async def number_stored(store: EventStore, event_types: Iterable[str]) -> dict[str, int]:
    """Return the numbers of stored events of some types, each at most `MAX_COUNTED`."""
    return {event_type: await schema_queries.number_of(store, event_type) for event_type in event_types}


async def unclaimed_types(store: EventStore, catalogue: Iterable[CatalogueEntry]) -> list[str]:
    """Return the types of the log that no class of a catalogue claims: their events are plain `DomainEvent`s."""
    claimed = {entry.event_type for entry in catalogue}
    return [event_type for event_type in await handler_queries.event_types(store) if event_type not in claimed]


def _reasons(error: Exception) -> Iterable[tuple[str | None, str, str]]:
    """Yield the field, the kind and the message of each reason in an error."""
    if not isinstance(error, ValidationError):
        yield None, type(error).__name__, _cut(f"{type(error).__name__}: {error}")
        return
    for one in error.errors(include_url=False, include_context=False, include_input=False):
        yield _path(one["loc"]), one["type"], _cut(one["msg"])


def _path(parts: Iterable[int | str]) -> str | None:
    """Return the place of an error as a field: `("lines", 3, "copies")` is `lines[].copies`."""
    text = "".join("[]" if isinstance(part, int) else f".{part}" for part in parts)
    return text.removeprefix(".") or None


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_REASON else f"{text[: _MAX_REASON - 1]}…"
