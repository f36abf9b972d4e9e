"""Pruning: old done records are copied into an archive, and removed from the log once the copy is verified.

    from craft_easy.core.events.operations.prune import FileArchive, Old, prune

    before = await store.now() - timedelta(days=90)
    async with FileArchive("2026-q1.ndjson.gz") as archive:
        pruned = await prune(store, Old(before), archive)

A record is removed only if its copy was read back and is equal to the byte, its `rev` is still the copied one, and the
event that caused it is neither open nor dead: a retry of that would publish it again. A run that is killed loses
nothing: the next one copies the records again that were not removed. Publishers, workers and other prunings may run at
the same time.

If a pruned event is published again, it is new to the log, and its handlers run again. So prune only events that are
older than any that a publisher may still retry.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import stat
import struct
import zlib
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TypeVar

from craft_easy.core.events import hooks, locked_file
from craft_easy.core.events.errors import ArchiveError
from craft_easy.core.events.model.figures import Counts
from craft_easy.core.events.store.deliveries import Tracked
from craft_easy.core.events.store.queries import prune as prune_queries
from craft_easy.core.events.store.queries.prune import CollectionArchive, Copy, Old

if TYPE_CHECKING:
    from craft_easy.core.events.store import EventStore

__all__ = ["Archive", "CollectionArchive", "FileArchive", "Old", "Pruned", "count", "estimate", "prune"]

T = TypeVar("T")

MAX_NAMED: Final = 100
_CHUNK: Final = 1 << 20
_LINE: Final = b'{"'
"""The start of each line that we write."""
_HEADER: Final = b"\x1f\x8b\x08\x10\0\0\0\0\0\xffcraft-events\0"
"""The header of our gzip members, with a comment: only an incomplete member with this header is cut off."""


class Archive(Protocol):
    """Keeps copies of records: a `FileArchive` or a `CollectionArchive`."""

    async def keep(self, copies: Sequence[Copy]) -> list[Copy]:
        """Keep copies, read them back, and return the records that have no exact copy."""


@dataclass(slots=True)
class Pruned:
    """The records that a pruning would remove, or has removed.

    `counts` are the removed events and their deliveries. Of the records that stay, `held` were published by a handler
    of an event that is open or dead, `changed` were changed in the meantime, and `inexact` have no exact copy in the
    archive; `inexact_ids` are the first hundred of these.
    """

    counts: Counts = field(default_factory=Counts)
    held: int = 0
    changed: int = 0
    inexact: int = 0
    inexact_ids: list[str] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """True if the archive could keep every record that was to be removed."""
        return not self.inexact


async def estimate(store: EventStore, old: Old) -> int:
    """Return the number of old records, without checking the events that caused them.

    Raises:
        StoreUnavailable: the log was not reached.
    """
    number, limit = await prune_queries.count(store, old), old.selection.limit
    return number if limit is None else min(number, limit)


async def count(store: EventStore, old: Old, *, on_counted: Callable[[int], None] | None = None) -> Pruned:
    """Count what `prune` would remove now; nothing is written.

    Args:
        on_counted: called with the number of records in each page.

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
        archive: keeps the copies; None removes without any.
        on_removed: called with the number of records that each write removed.

    Raises:
        ArchiveError: the archive could not store a copy, or returned another; none of those records was removed.
        StoreUnavailable: the log was not reached; the same call may be made again.
    """
    pruned = Pruned()
    async with aclosing(_pages(store, old, pruned)) as pages:
        async for page in pages:
            async with aclosing(prune_queries.copies(store, old, [record["_id"] for record in page])) as batches:
                async for copies in batches:
                    removed = await _remove(store, copies, archive, pruned)
                    if on_removed is not None:
                        on_removed(removed)
    return pruned


async def _pages(store: EventStore, old: Old, pruned: Pruned) -> AsyncGenerator[list[prune_queries.Record], None]:
    """Yield the records that may be removed; count those that stay because their cause is open or dead."""
    remaining = old.selection.limit
    async with aclosing(prune_queries.listed(store, old)) as pages:
        async for page in pages:
            free = await prune_queries.without_open_parents(store, page)
            pruned.held += len(page) - len(free)
            if remaining is not None:
                free = free[:remaining]
                remaining -= len(free)
            if free:
                yield free
            if remaining == 0:
                return


async def _remove(store: EventStore, copies: Sequence[Copy], archive: Archive | None, pruned: Pruned) -> int:
    refused = [] if archive is None else await archive.keep(copies)
    for copy in refused:
        pruned.inexact += 1
        if len(pruned.inexact_ids) < MAX_NAMED:
            pruned.inexact_ids.append(copy.event_id)
    hooks.kill_point("prune.verified")
    kept = [copy for copy in copies if not any(copy is other for other in refused)]
    changed = await prune_queries.remove(store, kept) if kept else []
    hooks.kill_point("prune.removed")
    pruned.changed += len(changed)
    removed = [copy for copy in kept if not changed or copy.id not in changed]
    for copy in removed:
        pruned.counts.add(copy.document, _handlers(copy.document))
    return len(removed)


def _handlers(record: Any) -> list[str]:
    return [entry.id for entry in Tracked.of(record).delivery.handlers]


# ---------------------------------------------------------------- an archive that is a file


class FileArchive:
    """Keeps records in a file, which one process at a time appends to.

    Args:
        path: the file; its directory exists. A name that ends in `.gz` is compressed.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._is_compressed = self.path.suffix == ".gz"
        self._descriptor = -1
        self._is_new = False
        self._end = 0
        self.cut = 0
        """Bytes of an interrupted run that were cut off when the file was opened."""

    def __str__(self) -> str:
        return str(self.path)

    async def __aenter__(self) -> Self:
        """Open or create the file, and check it.

        Raises:
            ArchiveError: the file cannot be opened or locked, is not a regular file, is used by another process, or is
                damaged.
        """
        if not locked_file.is_supported():
            raise ArchiveError(
                "a file archive needs POSIX locks, which Windows lacks", hint="name a collection as the archive"
            )
        try:
            self._descriptor = self._opened()
            self._lock()
            self._end = await self._in_a_thread(self._mended)
        except BaseException:
            self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    async def keep(self, copies: Sequence[Copy]) -> list[Copy]:
        """Append records and read them back; return those without an exact line, which are not kept.

        Raises:
            ArchiveError: the file cannot be written, or reads back differently.
        """

        def write() -> list[Copy]:
            lines = [prune_queries.exact_line(copy) for copy in copies]
            self._append(b"".join(line for line in lines if line is not None))
            return [copy for copy, line in zip(copies, lines, strict=True) if line is None]

        return await self._in_a_thread(write)

    async def _in_a_thread(self, work: Callable[[], T]) -> T:
        """Run disk work in a thread; a cancelled caller still waits for it, so that nothing is left half done."""
        task = asyncio.get_running_loop().run_in_executor(None, work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            with suppress(Exception):
                await task
            raise
        except OSError as error:
            raise self._failed("cannot be written", error) from error

    # opening

    def _opened(self) -> int:
        self._is_new = not self.path.exists()
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
        except OSError as error:
            raise self._failed("cannot be opened", error) from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise ArchiveError(f"{self.path} is not a regular file", hint="an archive is read back, so name a file")
        return descriptor

    def _lock(self) -> None:
        try:
            is_locked = locked_file.try_lock(self._descriptor)
        except OSError as error:
            raise self._failed("cannot be locked", error) from error
        if not is_locked:
            raise ArchiveError(f"{self.path} is in use", hint="another run uses this archive: wait for its end")

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0:
            return
        if self._is_new and not os.fstat(descriptor).st_size:
            self.path.unlink(missing_ok=True)
        os.close(descriptor)

    def _mended(self) -> int:
        """Return the position of the next line; cut off an incomplete one, and write the file's name to disk."""
        size = os.fstat(self._descriptor).st_size
        end = self._end_of_members(size) if self._is_compressed else self._end_of_lines(size)
        if end < size:
            os.ftruncate(self._descriptor, end)
            self.cut = size - end
        locked_file.sync_directory(self.path.parent)
        return end

    def _end_of_lines(self, size: int) -> int:
        """Return the end of the last whole line; add the newline if only that is missing."""
        start, tail = size, b""
        while start and b"\n" not in tail:
            start = max(start - _CHUNK, 0)
            tail = os.pread(self._descriptor, size - start, start)
        last = tail.rpartition(b"\n")[2]
        if not last:
            return size
        if _is_json(last):
            self._write(b"\n", size)
            return size + 1
        if not last.startswith(_LINE[: len(last)]):
            raise ArchiveError(
                f"{self.path} is not a file of JSON lines", hint="name another file: this one is not changed"
            )
        return size - len(last)

    def _end_of_members(self, size: int) -> int:
        """Return the end of the last whole member; this reads, and so checks, the whole file."""
        start = 0
        while start < size:
            end = self._end_of_member(start, size)
            if end is None:
                head = os.pread(self._descriptor, len(_HEADER), start)
                if not _HEADER.startswith(head):
                    raise ArchiveError(
                        f"{self.path} is damaged: the data from byte {start:,} on is incomplete",
                        hint="name another file: this one is not changed",
                    )
                return start
            start = end
        return start

    def _end_of_member(self, start: int, size: int) -> int | None:
        reader, at = zlib.decompressobj(wbits=31), start
        try:
            while at < size and not reader.eof:
                data = os.pread(self._descriptor, _CHUNK, at)
                at += len(data)
                while data and not reader.eof:
                    reader.decompress(data, _CHUNK)
                    data = reader.unconsumed_tail
        except zlib.error as error:
            raise ArchiveError(
                f"{self.path} is not a gzip file, or is damaged after byte {start:,}",
                hint="name another file: this one is not changed",
            ) from error
        return at - len(reader.unused_data) if reader.eof else None

    # writing

    def _append(self, lines: bytes) -> None:
        if not lines:
            return
        data = _member(lines) if self._is_compressed else lines
        try:
            self._write(data, self._end)
            os.fsync(self._descriptor)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._end)
            raise
        hooks.kill_point("prune.copied")
        written = os.pread(self._descriptor, len(data), self._end)
        if written != data or (self._is_compressed and gzip.decompress(written) != lines):
            raise ArchiveError(f"{self.path} reads back differently from what was written: check the disk")
        self._end += len(data)

    def _write(self, data: bytes, at: int) -> None:
        os.lseek(self._descriptor, at, os.SEEK_SET)
        locked_file.write_all(self._descriptor, data)

    def _failed(self, what: str, error: OSError) -> ArchiveError:
        return ArchiveError(f"{self.path} {what}: {error.strerror or error}")


def _member(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(data) + packer.flush()
    return _HEADER + packed + struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
