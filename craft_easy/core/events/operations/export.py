"""The export of a selection of the log as NDJSON, in MongoDB's Extended JSON.

    from craft_easy.core.events.operations.export import export_file

    exported = await export_file(store, "events.ndjson.gz", Selection(tenants=("acme",)))
    print(exported.events)

A line is a record as it is stored, with its delivery and without its `_id`; `mongoimport` and `import_` read it. A file
has the suffix `.part` until it is complete. With a checkpoint it is written in place: the next run cuts off the lines
after the stored length and continues from there.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from craft_easy.core.events.checkpoint import Checkpoint
from craft_easy.core.events.clock import steady
from craft_easy.core.events.engine.outage import OUTAGE_LIMIT_S, Outage
from craft_easy.core.events.engine.report import ConnectionLost, ConnectionResumed, ignore
from craft_easy.core.events.errors import CheckpointError, EventsError
from craft_easy.core.events.model.envelope import read_envelope
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store import read
from craft_easy.core.events.store.formats.extended_json import is_ambiguous, record_line
from craft_easy.core.events.store.position import RecordPosition
from craft_easy.core.events.target import Target, check, reason_of

if TYPE_CHECKING:
    from craft_easy.core.events.store import EventStore

JsonFormat = Literal["relaxed", "canonical"]

EXPORT_PAGE: Final = 1_000
"""The number of records in a block."""
KEPT_EVERY: Final = 5.0
"""Seconds between two marks of a checkpoint; each ends a gzip member."""
MAX_NAMED: Final = 10
EVERYTHING: Final = Selection()


@dataclass(frozen=True, slots=True)
class ExportBlock:
    """Lines that are ready to be written, their number, the position of the last, and the ids of inexact ones.

    The position is None where the last record is malformed.
    """

    data: bytes
    events: int
    position: RecordPosition | None
    ambiguous: tuple[str, ...] = ()


@dataclass(slots=True)
class Exported:
    """The number of events that were written: now, and by earlier runs with the same checkpoint.

    `ambiguous` counts those with an object that Extended JSON reads as a value of another type; `ambiguous_ids` names
    the first of these.
    """

    events: int = 0
    before: int = 0
    ambiguous: int = 0
    ambiguous_ids: list[str] = field(default_factory=list)

    def add(self, block: ExportBlock) -> None:
        """Count a block that was written."""
        self.events += block.events
        self.ambiguous += len(block.ambiguous)
        self.ambiguous_ids = [*self.ambiguous_ids, *block.ambiguous][:MAX_NAMED]


@dataclass(frozen=True, slots=True)
class ExportBegan:
    """The remaining selection; an earlier run may have written a few of its events."""

    selection: Selection


ExportNotice: TypeAlias = ExportBegan | ExportBlock | ConnectionLost | ConnectionResumed
"""The notices to an observer; an `ExportBlock` has been written."""
ExportObserver: TypeAlias = Callable[[ExportNotice], object]


async def blocks(
    store: EventStore,
    selection: Selection = EVERYTHING,
    *,
    json_format: JsonFormat = "relaxed",
    after: RecordPosition | None = None,
    observer: ExportObserver = ignore,
) -> AsyncGenerator[ExportBlock, None]:
    """Yield the selected records as lines, oldest first, with flat memory; an outage is waited out for a minute.

    Args:
        store: the event log.
        selection: the events.
        json_format: "relaxed" has plain numbers and times; "canonical" keeps their types.
        after: begin after this record.
        observer: called when an outage begins and ends.

    Raises:
        StoreUnavailable: the log was not reached for a minute.
    """
    outage, is_canonical = Outage(observer, limit=OUTAGE_LIMIT_S), json_format == "canonical"
    scan = read.select(store, selection, size=EXPORT_PAGE, for_json=True, after=None if after is None else after.key)
    async with aclosing(scan):
        page = await scan.next()  # outside of `ride_out`, so that a wrong address is reported at once
        while page:
            yield _block(page, is_canonical=is_canonical)
            page = await outage.ride_out(scan.next)


def _rest_of(selection: Selection, after: RecordPosition | None) -> Selection:
    """Return the selection without the time before a position."""
    if after is None:
        return selection
    return replace(
        selection, since=after.timestamp if selection.since is None else max(after.timestamp, selection.since)
    )


def _block(page: Sequence[Mapping[str, Any]], *, is_canonical: bool) -> ExportBlock:
    lines = [record_line(record, canonical=is_canonical) for record in page]
    pairs = zip(page, lines, strict=True)
    ambiguous = tuple(read_envelope(record).event_id for record, line in pairs if is_ambiguous(record, line))
    position = RecordPosition.of(page[-1])
    return ExportBlock("".join(f"{line}\n" for line in lines).encode("ascii"), len(page), position, ambiguous)


# ---------------------------------------------------------------------- to a file


def checkpoint(
    path: str | Path, store: EventStore, file: str | Path, selection: Selection, json_format: JsonFormat, **others: Any
) -> Checkpoint:
    """Return the checkpoint of an export; it goes with the same selection of the same log, into the same file.

    Args:
        path: the file of the checkpoint.
        store: the log.
        file: the file that is written.
        selection: which events. Its window is fixed by the first run; `others` has it as typed.
        json_format: of the lines.
        others: further settings that must be the same, as JSON values.

    Raises:
        ValueError: the selection is reversed, so that it would have to continue at its growing end.
    """
    if selection.reverse:
        raise ValueError("a checkpoint goes forward in time, and this selection is reversed")
    filters = {
        "tenant": list(selection.tenants),
        "no_tenant": selection.no_tenant,
        "type": list(selection.types),
        "exclude_type": list(selection.except_types),
        "actor": list(selection.actors),
        "state": list(selection.states),
        "limit": selection.limit,
        "file": os.path.abspath(file),
        "json_format": json_format,
    }
    return Checkpoint(path, kind="export", log=f"{store.database_name}.{store.name}", filters=filters | others)


async def export_file(
    store: EventStore,
    path: str | Path,
    selection: Selection = EVERYTHING,
    *,
    json_format: JsonFormat = "relaxed",
    force: bool = False,
    checkpoint: Checkpoint | None = None,
    observer: ExportObserver = ignore,
) -> Exported:
    """Write the selected events to a file, packed with gzip where its name ends with `.gz`.

    Args:
        store: the log.
        path: the file; an existing one is not overwritten.
        selection: which events.
        json_format: "relaxed" has plain numbers and times; "canonical" keeps their types.
        force: overwrite an existing file.
        checkpoint: continue where the last run with it ended, and mark the position of this one.
        observer: called with each notice.

    Raises:
        InvalidSetting: the file exists, or cannot be written.
        CheckpointError: the checkpoint cannot be used, or the file is not the one that it is for.
        StoreUnavailable: the log was not reached for a minute.
        EventsError: the file could not be written.
    """
    with nullcontext() if checkpoint is None else checkpoint.lock():
        earlier = None if checkpoint is None else _Progress.read(checkpoint)
        progress = earlier or _begun(path, selection, checkpoint, force=force)
        size = None if progress.last is None and not progress.size else progress.size
        file = Target(Path(path), size=size, in_place=checkpoint is not None)
        try:
            exported = await _write(store, file, selection, json_format, progress, checkpoint, observer)
            file.finish()
        except OSError as error:
            raise EventsError(f"{path} cannot be written: {reason_of(error)}", hint="is the disk full?") from error
        finally:
            file.close()
    return exported


def _begun(path: str | Path, selection: Selection, checkpoint: Checkpoint | None, *, force: bool) -> _Progress:
    progress = _Progress(since=selection.since, until=selection.until)
    check(path, force=force)
    if checkpoint is not None:  # before there is a file, so that a kill never leaves one without it
        checkpoint.write(progress.to_json())
    return progress


async def _write(
    store: EventStore,
    file: Target,
    selection: Selection,
    json_format: JsonFormat,
    progress: _Progress,
    checkpoint: Checkpoint | None,
    observer: ExportObserver,
) -> Exported:
    exported, kept_at = Exported(before=progress.events), steady()
    left = None if selection.limit is None else selection.limit - progress.events
    wanted = replace(selection, since=progress.since, until=progress.until, limit=left or None)
    observer(ExportBegan(_rest_of(wanted, progress.last)))
    if left == 0:
        return exported
    last: RecordPosition | None = None
    async with aclosing(
        blocks(store, wanted, json_format=json_format, after=progress.last, observer=observer)
    ) as pages:
        async for block in pages:
            file.write(block.data)
            last = block.position
            exported.add(block)
            observer(block)
            if checkpoint is not None and last is not None and steady() - kept_at >= KEPT_EVERY:
                await asyncio.to_thread(_keep, checkpoint, file, progress, last, exported)
                kept_at = steady()
    if checkpoint is not None and last is not None:
        await asyncio.to_thread(_keep, checkpoint, file, progress, last, exported)
    return exported


def _keep(checkpoint: Checkpoint, file: Target, before: _Progress, last: RecordPosition, exported: Exported) -> None:
    """Write a mark behind a well-formed record; malformed ones behind the mark are written again by the next run."""
    events = exported.before + exported.events
    checkpoint.write(replace(before, last=last, size=file.mark(), events=events).to_json())


@dataclass(frozen=True, slots=True)
class _Progress:
    """The progress of an export: its window, its last position, the length of the file and the number of events."""

    since: datetime | None = None
    until: datetime | None = None
    last: RecordPosition | None = None
    size: int = 0
    events: int = 0

    def to_json(self) -> dict[str, Any]:
        return {
            "since": None if self.since is None else self.since.isoformat(),
            "until": None if self.until is None else self.until.isoformat(),
            "place": None if self.last is None else self.last.to_json(),
            "size": self.size,
            "events": self.events,
        }

    @classmethod
    def read(cls, checkpoint: Checkpoint) -> _Progress | None:
        """Return the progress of an earlier run; None where there was none."""
        fields = checkpoint.read()
        if fields is None:
            return None
        try:
            return cls(
                since=_moment(fields["since"]),
                until=_moment(fields["until"]),
                last=None if fields["place"] is None else RecordPosition.from_json(fields["place"]),
                size=int(fields["size"]),
                events=int(fields["events"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{checkpoint.path} holds no position of an export", hint="remove it and the exported file"
            ) from error


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
