"""The file that an export writes: whole, or in place up to a mark; packed with gzip where its name ends with `.gz`."""

from __future__ import annotations

import os
import stat
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from craft_easy.core.events import locked_file
from craft_easy.core.events.errors import CheckpointError, InvalidSetting

PART: Final = ".part"
"""The suffix of a file's name until it is complete."""
_LEVEL: Final = 6


class Target:
    """A file that is being written.

    Args:
        path: the final name.
        size: the length that the checkpoint of an earlier run holds; the file is cut to it. None for a new file.
        in_place: write under the final name, because a checkpoint holds the length that counts.

    Raises:
        InvalidSetting: the file cannot be written.
        CheckpointError: the file is not the one that the earlier run wrote.
    """

    def __init__(self, path: Path, *, size: int | None = None, in_place: bool = False) -> None:
        if not locked_file.is_supported():
            raise InvalidSetting(
                str(path), "a file that is exported needs POSIX locks, which Windows lacks", hint="export to stdout"
            )
        is_device = path.exists() and not path.is_file()
        self._path = path
        self._written_to = path if in_place or is_device else path.with_name(path.name + PART)
        self._is_packed = path.name.endswith(".gz")
        self._member: Any = None
        self._descriptor = self._opened(size)

    def _opened(self, size: int | None) -> int:
        flags = os.O_WRONLY | os.O_CLOEXEC | (os.O_CREAT if size is None else 0)
        try:
            descriptor = os.open(self._written_to, flags, 0o666)
        except FileNotFoundError as error:
            if size is None:
                raise _unwritable(self._path, error) from error
            raise self._changed("no longer exists") from error
        except OSError as error:
            raise _unwritable(self._path, error) from error
        try:
            self._begin(descriptor, size or 0)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _begin(self, descriptor: int, size: int) -> None:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return
        try:
            is_locked = locked_file.try_lock(descriptor)
        except OSError as error:
            raise InvalidSetting(str(self._path), f"cannot be locked: {reason_of(error)}") from error
        if not is_locked:
            raise InvalidSetting(str(self._path), "another export is writing to it")
        if status.st_size < size:
            raise self._changed(f"has {status.st_size:,} bytes, and had {size:,} when the checkpoint was written")
        os.ftruncate(descriptor, size)
        os.lseek(descriptor, size, os.SEEK_SET)

    def _changed(self, reason: str) -> CheckpointError:
        return CheckpointError(f"{self._path} {reason}", hint="start over: remove the checkpoint and name a new file")

    def write(self, data: bytes) -> None:
        """Write lines."""
        if self._is_packed:
            if self._member is None:
                self._member = zlib.compressobj(_LEVEL, wbits=16 + zlib.MAX_WBITS)
            data = self._member.compress(data)
        locked_file.write_all(self._descriptor, data)

    def mark(self) -> int:
        """Write everything to disk and return the length of the file."""
        if self._member is not None:
            member, self._member = self._member, None
            locked_file.write_all(self._descriptor, member.flush())
        status = os.fstat(self._descriptor)
        if stat.S_ISREG(status.st_mode):
            os.fsync(self._descriptor)
        return status.st_size

    def finish(self) -> None:
        """Write everything to disk and give the file its final name."""
        if self._is_packed and self._member is None and os.fstat(self._descriptor).st_size == 0:
            self.write(b"")  # an empty file is not a valid gzip file
        self.mark()
        if self._written_to != self._path:
            os.replace(self._written_to, self._path)
            self._written_to = self._path

    def close(self) -> None:
        """Close the file; remove one that is incomplete and cannot be continued."""
        os.close(self._descriptor)
        if self._written_to != self._path:
            with suppress(OSError):
                os.unlink(self._written_to)


def check(path: str | Path, *, force: bool = False) -> None:
    """Make sure that a file may be written; a device or a pipe always may.

    Raises:
        InvalidSetting: the file exists already, is a directory, or cannot be written.
    """
    target = Path(path)
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        mode = None
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from error
    if mode is not None and stat.S_ISDIR(mode):
        raise InvalidSetting(str(path), "is a directory, not a file to write")
    if mode is not None and stat.S_ISREG(mode) and not force:
        raise InvalidSetting(str(path), "exists already", hint="overwrite it with --force, or name another file")
    if not os.access(target if mode is not None else target.parent, os.W_OK):
        reason = "permission denied" if target.parent.is_dir() else "the directory does not exist"
        raise InvalidSetting(str(path), f"cannot be written: {reason}")


def _unwritable(path: str | Path, error: OSError | ValueError) -> InvalidSetting:
    return InvalidSetting(str(path), f"cannot be written: {reason_of(error)}")


def reason_of(error: OSError | ValueError) -> str:
    """Return the text of a system error, as part of a sentence."""
    return str(getattr(error, "strerror", None) or error).lower()
