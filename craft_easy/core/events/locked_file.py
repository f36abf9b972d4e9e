"""The lock and the durable write that a checkpoint, an export and a file archive share, and `~` in paths.

The lock is a flock(2): the kernel frees it when its holder dies. Windows has none, and those files are refused there.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Final

from craft_easy.core.events.errors import InvalidSetting

if sys.platform != "win32":
    import fcntl

_BUSY: Final = (errno.EWOULDBLOCK, errno.EACCES)


def is_supported() -> bool:
    """Return whether this system has POSIX locks."""
    return sys.platform != "win32"


def at_home(path: str | Path) -> Path:
    """Return a path with a leading `~` or `~user` replaced by the home directory.

    Raises:
        InvalidSetting: there is no such home directory.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise InvalidSetting(str(path), "there is no such home directory", hint="write the whole path") from None


def try_lock(descriptor: int) -> bool:
    """Lock an open file for this process alone; return False where another one has locked it.

    Raises:
        OSError: the file system has no locks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _BUSY:
            raise
        return False
    return True


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte at the current position of a file, with as many calls as that takes.

    Raises:
        OSError: the data could not be written.
    """
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_directory(path: Path) -> None:
    """Write a directory to disk, so that a rename in it survives a power cut (fsync(2)).

    Raises:
        OSError: the directory cannot be read, or not be written to disk.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
