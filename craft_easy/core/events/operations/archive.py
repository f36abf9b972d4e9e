"""An archive that is a file: records of a log, a line each, that are on disk before they leave the log.

    async with FileArchive("old.ndjson.gz") as archive:
        pruned = await pruning.prune(store, Old(before=…), archive)

What is there already stays: lines are appended, and a name that ends in `.gz` appends members of gzip, which every
reader takes for one file (RFC 1952). What an interrupted run left half written is cut off: its records are in the log.
"""

from __future__ import annotations

import asyncio
import gzip
import os
import stat
import struct
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TypeVar

from craft_easy.core.events import hooks
from craft_easy.core.events.errors import ArchiveError

if TYPE_CHECKING:
    from craft_easy.core.events.store.queries.prune import Copy

T = TypeVar("T")

_CHUNK: Final = 1 << 20
_LINE: Final = b'{"'
"""How a line of ours begins."""
_HEADER: Final = b"\x1f\x8b\x08\x10\0\0\0\0\0\xffcraft-events\0"
"""A member of ours, by its comment: only such a one is cut off where it is incomplete."""


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
        """Open the file, or make it, and look it through.

        Raises:
            ArchiveError: it cannot be opened, is no regular file, is used by another process, or is damaged.
        """
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
        """Append records, read them back, and return the records that a line cannot say exactly: they are not kept.

        Raises:
            ArchiveError: the file did not take them, or gives back something else.
        """
        from craft_easy.core.events.store.formats.archive_line import exact_line

        def write() -> list[Copy]:
            lines = [exact_line(one) for one in copies]
            self._append(b"".join(line for line in lines if line is not None))
            return [one for one, line in zip(copies, lines, strict=True) if line is None]

        return await self._in_a_thread(write)

    async def _in_a_thread(self, work: Callable[[], T]) -> T:
        """Do what waits for the disk; who is cancelled meanwhile waits for it too: nothing is left half done."""
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
            raise ArchiveError(f"{self.path} is no regular file", hint="what is archived is read back, so name a file")
        return descriptor

    def _lock(self) -> None:
        import fcntl

        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ArchiveError(
                f"{self.path} is in use", hint="another run archives into it: wait for its end"
            ) from None

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0:
            return
        if self._is_new and not os.fstat(descriptor).st_size:
            self.path.unlink(missing_ok=True)
        os.close(descriptor)

    def _mended(self) -> int:
        """Return where the next line goes; what was left half written is gone, and the file's name is on disk."""
        size = os.fstat(self._descriptor).st_size
        end = self._end_of_members(size) if self._is_compressed else self._end_of_lines(size)
        if end < size:
            os.ftruncate(self._descriptor, end)
            self.cut = size - end
        _sync_directory(self.path.parent)
        return end

    def _end_of_lines(self, size: int) -> int:
        """Return the end of the last whole line; one that says something and lacks only its end gets that."""
        start, tail = size, b""
        while start and b"\n" not in tail:
            start = max(start - _CHUNK, 0)
            tail = os.pread(self._descriptor, size - start, start)
        last = tail.rpartition(b"\n")[2]
        if not last:
            return size
        if _is_json(last):
            _write_all(self._descriptor, b"\n", size)
            return size + 1
        if not last.startswith(_LINE[: len(last)]):
            raise ArchiveError(
                f"{self.path} is no file of lines of JSON", hint="name another file: it is left as it is"
            )
        return size - len(last)

    def _end_of_members(self, size: int) -> int:
        """Return the end of the last whole member; the whole file is read for it, and so known to be sound."""
        start = 0
        while start < size:
            end = self._end_of_member(start, size)
            if end is None:
                head = os.pread(self._descriptor, len(_HEADER), start)
                if not _HEADER.startswith(head):
                    raise ArchiveError(
                        f"{self.path} is damaged: what begins at byte {start:,} has no end",
                        hint="name another file: this one is left as it is",
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
                f"{self.path} is no gzip file, or damaged behind byte {start:,}",
                hint="name another file: this one is left as it is",
            ) from error
        return at - len(reader.unused_data) if reader.eof else None

    # writing

    def _append(self, lines: bytes) -> None:
        if not lines:
            return
        data = _member(lines) if self._is_compressed else lines
        try:
            _write_all(self._descriptor, data, self._end)
            os.fsync(self._descriptor)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._end)
            raise
        hooks.at("prune.copied")
        found = os.pread(self._descriptor, len(data), self._end)
        if found != data or (self._is_compressed and gzip.decompress(found) != lines):
            raise ArchiveError(f"{self.path} gives back something else than was written: is the disk sound?")
        self._end += len(data)

    def _failed(self, what: str, error: OSError) -> ArchiveError:
        return ArchiveError(f"{self.path} {what}: {error.strerror or error}")


def _member(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(data) + packer.flush()
    return _HEADER + packed + struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)


def _write_all(descriptor: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, at)
        view, at = view[written:], at + written


def _is_json(text: bytes) -> bool:
    import json

    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
