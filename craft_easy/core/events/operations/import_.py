"""The import of events from a file or a pipe, which accounts for every line.

    from craft_easy.core.events.operations.import_ import import_events

    imported = await import_events(store, "events.ndjson.gz")
    print(imported.stored, imported.present, imported.bad)

Each line is checked before it is written. A line that cannot be imported is passed to the observer with its number, and
the import continues. A stored record is never overwritten, so that the same import may be run again, however it ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable, Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

from craft_easy.core.events.clock import steady
from craft_easy.core.events.engine.report import ConnectionLost, ignore
from craft_easy.core.events.errors import EventConflict, EventsError, InvalidEvent, StoreUnavailable
from craft_easy.core.events.model.figures import Counts
from craft_easy.core.events.operations import intake
from craft_easy.core.events.operations.intake import Line
from craft_easy.core.events.store.documents import record_event_id, same_content
from craft_easy.core.events.store.formats.extended_json import parse
from craft_easy.core.events.store.formats.incoming import Reading, record_of
from craft_easy.core.events.store.queries.import_ import insert_each, is_unique, stored_otherwise, stored_twins

if TYPE_CHECKING:
    from craft_easy.core.events.store import EventStore

PATIENCE: Final = 60.0
"""The longest outage in seconds that is waited out."""
MAX_AT_ONCE: Final = 1_000
_FIRST_WAIT, _LONGEST_WAIT = 0.2, 5.0


@dataclass(frozen=True, slots=True)
class Refused:
    """A line that was not imported: it is not an event, or its id is stored with other content."""

    line: int
    error: str
    text: str
    event_id: str | None = None

    @classmethod
    def of(cls, line: Line, error: ValueError) -> Self:
        """Return the refusal of a line that is not an event."""
        is_cut_off = line.is_last and isinstance(error, InvalidEvent) and error.path == "JSON"
        hint = "; the last line has no newline and may be cut off" if is_cut_off else ""
        return cls(line.number, f"{error}{hint}", line.raw_text())

    @property
    def is_conflict(self) -> bool:
        """True if the line is an event, and the log has another under its id."""
        return self.event_id is not None


@dataclass(slots=True)
class Imported:
    """The result of each line: stored, present before with the same content, in conflict, or bad.

    `open` is the number of stored events that are open for their handlers; `counts` are those that a dry run would
    store.
    """

    stored: int = 0
    present: int = 0
    conflicts: int = 0
    bad: int = 0
    open: int = 0
    counts: Counts = field(default_factory=Counts)

    @property
    def lines(self) -> int:
        """The number of lines that were read."""
        return self.stored + self.present + self.conflicts + self.bad

    @property
    def is_clean(self) -> bool:
        """True if every line is in the log now."""
        return not (self.conflicts or self.bad)


@dataclass(frozen=True, slots=True)
class LinesRead:
    """The number of lines that were read so far."""

    lines: int


ImportNotice: TypeAlias = Refused | LinesRead | ConnectionLost
"""The notices to an observer."""
ImportObserver: TypeAlias = Callable[[ImportNotice], object]


async def import_events(
    store: EventStore,
    source: str | Path | AsyncIterable[bytes],
    *,
    with_delivery: bool = False,
    dry_run: bool = False,
    observer: ImportObserver = ignore,
) -> Imported:
    """Store the events of NDJSON, Extended JSON or Event JSON a line, packed with gzip or not, with flat memory.

    Args:
        store: the event log.
        source: a file, `-` for standard input, or an iterable of bytes.
        with_delivery: keep the deliveries of the lines; by default the events are stored untracked.
        dry_run: write nothing; the result has the events that would be stored.
        observer: called with each line that was not imported, with the progress, and with each failed attempt.

    Raises:
        InvalidSetting: the file cannot be read.
        StoreUnavailable: the log was not reached for a minute; the same call imports the remaining lines.
    """
    if isinstance(source, (str, Path)):
        intake.check(source)
    reading = Reading(await store.now(), with_delivery)
    run = _Import(store, reading, observer, is_dry=dry_run)
    try:
        async with aclosing(intake.lines(source)) as pages:
            async for page in pages:
                await run.take(page)
        return await run.finish()
    finally:
        await run.aclose()


class _Import:
    """One run: reads a page of lines while the one before is being stored."""

    def __init__(self, store: EventStore, reading: Reading, observer: ImportObserver, *, is_dry: bool) -> None:
        self._store = store
        self._reading = reading
        self._observer = observer
        self._is_dry = is_dry
        self._imported = Imported()
        self._storing: asyncio.Task[None] | None = None
        self._is_unique: bool | None = None

    async def take(self, page: Sequence[Line]) -> None:
        for start in range(0, len(page), MAX_AT_ONCE):
            lines = page[start : start + MAX_AT_ONCE]
            batch = [(line, record) for line in lines if (record := self._read(line)) is not None]
            if batch:
                await self._stored()
                self._storing = asyncio.create_task(self._put(batch))
                await asyncio.sleep(0)  # lets the request go out before the next lines are read
            self._observer(LinesRead(self._imported.lines))

    async def finish(self) -> Imported:
        await self._stored()
        self._observer(LinesRead(self._imported.lines))
        return self._imported

    async def aclose(self) -> None:
        if self._storing is not None:
            self._storing.cancel()
            with suppress(asyncio.CancelledError, EventsError):
                await self._storing

    async def _stored(self) -> None:
        storing, self._storing = self._storing, None
        if storing is not None:
            await storing

    def _read(self, line: Line) -> dict[str, Any] | None:
        try:
            return record_of(parse(line.text()), self._reading)
        except ValueError as error:  # as InvalidEvent is, too
            self._imported.bad += 1
            self._observer(Refused.of(line, error))
            return None

    async def _put(self, batch: Sequence[tuple[Line, dict[str, Any]]]) -> None:
        records = [record for _, record in batch]
        twins = await self._patiently(records)
        for (line, record), twin in zip(batch, twins, strict=True):
            self._note(line, record, twin)

    def _note(self, line: Line, record: dict[str, Any], twin: Any) -> None:
        """Count a line as new, present, or refused with an error."""
        if twin is None:
            pending = _pending(record)
            self._imported.stored += 1
            self._imported.open += bool(pending)
            if self._is_dry:
                self._imported.counts.add(record, pending)
        elif isinstance(twin, EventsError):
            self._refuse(line, record, twin)
        elif same_content(record, twin):
            self._imported.present += 1
        else:
            self._refuse(line, record, EventConflict(record_event_id(record)))

    def _refuse(self, line: Line, record: dict[str, Any], error: EventsError) -> None:
        is_conflict = isinstance(error, EventConflict)
        if is_conflict:
            self._imported.conflicts += 1
        else:
            self._imported.bad += 1
        event_id = record_event_id(record) if is_conflict else None
        self._observer(Refused(line.number, str(error), line.raw_text(), event_id))

    async def _patiently(self, records: Sequence[dict[str, Any]]) -> list[Any]:
        began, wait = None, _FIRST_WAIT
        while True:
            try:
                return await self._twins(records)
            except StoreUnavailable as error:
                began = steady() if began is None else began
                if steady() - began + wait > PATIENCE:
                    raise
                self._observer(ConnectionLost(str(error)))
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)

    async def _twins(self, records: Sequence[dict[str, Any]]) -> list[Any]:
        """Return for each record the one that is stored under its id, or its error; None where it is new."""
        if self._is_unique is None:
            self._is_unique = self._is_dry or await is_unique(self._store)
        known = await stored_otherwise(self._store, records, by_event_id=not self._is_unique)
        new = [record for record in records if record["event_id"] not in known]
        twins: Iterator[Any]
        if self._is_dry:
            twins = iter(await stored_twins(self._store, new))
        else:
            twins = iter([result.error or result.stored for result in await insert_each(self._store, new)])
        return [known.get(record["event_id"]) or next(twins) for record in records]


def _pending(record: dict[str, Any]) -> list[str]:
    handlers = (record.get("delivery") or {}).get("handlers", ())
    return [handler["id"] for handler in handlers if handler["state"] == "pending"]
