"""The reader of lines from a file or a pipe, packed with gzip or not, with flat memory for any input.

    chunks  →  Unpacking  →  Splitting  →  lines

A line that cannot be read has a fault; the caller reports it with its number and continues.
"""

from __future__ import annotations

import asyncio
import os
import select
import stat
import zlib
from collections.abc import AsyncGenerator, AsyncIterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from craft_easy.core.events.errors import InvalidSetting

CHUNK: Final = 1 << 20
MAX_LINE: Final = 100 * 1024 * 1024
"""The maximum length of a line in bytes: a record of 15 MiB takes up to six times as many, with escapes."""
STDIN: Final = "-"
_PIECE: Final = 1 << 16
_KEPT: Final = 1_000
"""The number of bytes that are kept of a line that is too long, to recognise it by."""
_GZIP: Final = b"\x1f\x8b"
_BOM: Final = b"\xef\xbb\xbf"
_BLANK: Final = b" \t\r\n"


@dataclass(frozen=True, slots=True)
class Line:
    """One line without its newline, and its fault if it cannot be read.

    Args:
        number: from 1, as editors count, blank lines included.
        data: its bytes; the first thousand of a line that is too long.
        fault: the reason why the bytes cannot be read.
        is_last: the line has no newline: the file may have been cut off here.
    """

    number: int
    data: bytes
    fault: str | None = None
    is_last: bool = False

    def text(self) -> str:
        """Return the line as text.

        Raises:
            ValueError: the bytes are not UTF-8, or the line has a fault.
        """
        if self.fault is not None:
            raise ValueError(self.fault)
        try:
            return self.data.decode()
        except UnicodeDecodeError as error:
            if b"\0" in self.data:
                raise ValueError("not UTF-8 but probably UTF-16: convert it with iconv -f UTF-16 -t UTF-8") from None
            raise ValueError(f"not UTF-8: byte {error.start + 1:,} of the line") from None

    def raw_text(self) -> str:
        """Return the line as text; each byte that is not UTF-8 becomes a lone surrogate, as in PEP 383."""
        return self.data.decode(errors="surrogateescape")


class Unpacking:
    """Unpacks gzip, which its first two bytes show, and passes on everything else unchanged.

    A file of several gzip members is one (RFC 1952, 2.2). Damage ends the data: `fault` describes it.
    """

    def __init__(self) -> None:
        self.fault: str | None = None
        self._head = b""
        self._is_known = False
        self._member: zlib._Decompress | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the unpacked bytes, a piece at a time."""
        if not self._is_known:
            self._head += data
            if len(self._head) < len(_GZIP):
                return
            data, self._is_known = self._head, True
            if data.startswith(_GZIP):
                self._member = _new_member()
        if self._member is None:
            yield data
        elif self.fault is None:
            yield from self._unpacked(data)

    def end(self) -> Iterator[bytes]:
        """Yield the remaining bytes at the end of the input."""
        if not self._is_known and self._head:
            yield self._head
        if self._member is not None and self.fault is None and not self._member.eof:
            self.fault = "the gzip data end too early: the file was cut off"

    def _unpacked(self, data: bytes) -> Iterator[bytes]:
        while data:
            member = self._member
            assert member is not None
            if member.eof:
                data = data.lstrip(b"\0")  # padding, as on tapes
                if not data:
                    return
                if not _GZIP.startswith(data[:2]):
                    self.fault = "other data follow the gzip data"
                    return
                member = self._member = _new_member()
            try:
                piece = member.decompress(data, CHUNK)
            except zlib.error:
                self.fault = "the gzip data are damaged"
                return
            data = member.unused_data if member.eof else member.unconsumed_tail
            if piece:
                yield piece


def _new_member() -> zlib._Decompress:
    return zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)


class Splitting:
    """Splits bytes into lines at each newline, without blank lines; holds at most one incomplete line."""

    def __init__(self, *, longest: int = MAX_LINE) -> None:
        self._longest = longest
        self._number = 0
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> Iterator[Line]:
        """Yield the lines that end within these bytes."""
        *ended, rest = data.split(b"\n")
        for part in ended:
            self._keep(part)
            yield from self._line()
        self._keep(rest)

    def end(self, fault: str | None = None) -> Iterator[Line]:
        """Yield the last line if it has no newline; with a fault of the input, yield that in its place."""
        yield from self._line(fault, is_last=True)

    def _keep(self, data: bytes) -> None:
        self._size += len(data)
        if self._size <= self._longest:
            self._parts.append(data)
        else:
            self._parts = [b"".join([*self._parts, data[:_KEPT]])[:_KEPT]]

    def _line(self, fault: str | None = None, *, is_last: bool = False) -> Iterator[Line]:
        self._number += 1
        data, size = b"".join(self._parts), self._size
        self._parts, self._size = [], 0
        if self._number == 1:
            data = data.removeprefix(_BOM)
        if size > self._longest:
            fault = fault or f"a line of {size:,} bytes exceeds the limit of {self._longest:,}"
        if fault is not None or data.strip(_BLANK):
            yield Line(self._number, data, fault, is_last)


async def lines(source: str | Path | AsyncIterable[bytes]) -> AsyncGenerator[list[Line], None]:
    """Yield the lines of a source, those that are there already at once; blank ones are left out.

    Args:
        source: a file, `-` for standard input, or bytes as they come.

    Raises:
        InvalidSetting: the file does not exist, or cannot be read.
    """
    unpacking, splitting = Unpacking(), Splitting()
    stream = chunks(source) if isinstance(source, (str, Path)) else _passed_on(source)
    async with aclosing(stream) as data:
        async for chunk in data:
            for piece in unpacking.feed(chunk):
                yield list(splitting.feed(piece))
            if unpacking.fault:
                break
    rest = [line for piece in unpacking.end() for line in splitting.feed(piece)]
    yield [*rest, *splitting.end(unpacking.fault)]


def check(source: str | Path) -> None:
    """Make sure that a source can be read, and read nothing of it.

    Raises:
        InvalidSetting: the file does not exist, or cannot be read.
    """
    if source == STDIN:
        return
    try:
        status = os.stat(source)
    except (OSError, ValueError) as error:
        raise _unreadable(source, error) from error
    if stat.S_ISDIR(status.st_mode):
        raise InvalidSetting(str(source), "is a directory, not a file of events")
    if not os.access(source, os.R_OK):
        raise InvalidSetting(str(source), "cannot be read: permission denied")


async def _passed_on(source: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
    async for chunk in source:
        yield chunk


async def chunks(source: str | Path) -> AsyncGenerator[bytes, None]:
    """Yield the available bytes of a file or, for `-`, of standard input, at most a mebibyte at a time.

    A pipe is waited for in the event loop, so that a signal still ends the run.

    Raises:
        InvalidSetting: the file does not exist, or cannot be read.
    """
    descriptor = 0 if source == STDIN else _opened(source)
    try:
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        while chunk := _read(source, descriptor, CHUNK) if is_file else await _available(source, descriptor):
            yield chunk
            await asyncio.sleep(0)
    finally:
        if descriptor:
            os.close(descriptor)


def _opened(source: str | Path) -> int:
    check(source)
    try:
        return os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _unreadable(source, error) from error


def _read(source: str | Path, descriptor: int, size: int) -> bytes:
    try:
        return os.read(descriptor, size)
    except OSError as error:
        raise _unreadable(source, error) from error


def _unreadable(source: str | Path, error: OSError | ValueError) -> InvalidSetting:
    reason = getattr(error, "strerror", None) or str(error)
    return InvalidSetting(str(source), f"cannot be read: {reason.lower()}")


async def _available(source: str | Path, descriptor: int) -> bytes:
    """Return the available bytes of a pipe, a terminal or a socket, and wait for the first; empty at its end."""
    await _readable(descriptor)
    parts = [_read(source, descriptor, _PIECE)]
    size = len(parts[0])
    while parts[-1] and size < CHUNK and select.select([descriptor], [], [], 0)[0]:
        parts.append(_read(source, descriptor, _PIECE))
        size += len(parts[-1])
    return b"".join(parts)


async def _readable(descriptor: int) -> None:
    loop, is_there = asyncio.get_running_loop(), asyncio.Event()
    try:
        loop.add_reader(descriptor, is_there.set)
    except OSError:  # a device that is always ready, as /dev/null is
        return
    try:
        await is_there.wait()
    finally:
        loop.remove_reader(descriptor)


async def count_lines(path: str | Path) -> int | None:
    """Return the number of lines in a file, without blank ones; None for a pipe, which can be read only once.

    Raises:
        InvalidSetting: the file does not exist, or cannot be read.
    """
    check(path)
    if path == STDIN or not stat.S_ISREG(os.stat(path).st_mode):
        return None
    count = 0
    async with aclosing(lines(path)) as pages:
        async for page in pages:
            count += len(page)
    return count
