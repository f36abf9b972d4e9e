"""The directory of an embedded log, its files and its locks.

    craft-events.lock   marks the directory as ours; held by a process that starts, joins or leaves
    users.lock          shared by everyone who has joined
    server.lock         held by the server's process itself, which inherits it: free means that no server lives
    server.json         {"pid", "port", "nonce"}, written by the server's process before it becomes the server
    last.json           the server.json of the server before
    server.log          the server's own log
    server.toml         empty, so that the server reads no settings from elsewhere
    data/               the server's own

The locks are flock(2) locks: the kernel frees them when their holder dies, however it dies, and a process id that was
given to another program is not mistaken for the server's. They need a local file system, as the server does.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from craft_easy.core.events.errors import EmbeddedLogError
from craft_easy.core.events.locked_file import at_home

if sys.platform != "win32":  # where `join` refuses before a lock is taken
    import fcntl

MARK: Final = "craft-events.lock"
POLL_SECONDS: Final = 0.01
_LOCKS: Final = (MARK, "users.lock", "server.lock")
_NOT_THINGS: Final = {".DS_Store", "lost+found"}
_CONFIG: Final = "# Read in place of any other secantusd.toml: the settings are on the command line.\n"


@dataclass(frozen=True, slots=True)
class Note:
    """The content of `server.json`: process, port, and a secret that only this server stores."""

    pid: int
    port: int
    nonce: str

    @classmethod
    def read(cls, path: Path) -> Note | None:
        """Return the content of a file; None where it is missing or not valid."""
        try:
            values = json.loads(path.read_bytes())
            return cls(int(values["pid"]), int(values["port"]), str(values["nonce"]))
        except (OSError, ValueError, TypeError, KeyError):
            return None


class Directory:
    """An open directory: its path and this user's three locks."""

    def __init__(self, path: Path, gate: int, users: int, server: int) -> None:
        self.path = path
        self._gate, self._users, self._server = gate, users, server

    @classmethod
    def open(cls, directory: str | Path) -> Self:
        """Open a directory; create it if it does not exist, and leave its content alone.

        Raises:
            EmbeddedLogError: it is not a directory, holds other files, or cannot be written.
        """
        path = Path(os.path.realpath(at_home(directory)))
        locks: list[int] = []
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            _refuse_foreign(path)
            locks.extend(os.open(path / name, os.O_RDWR | os.O_CREAT, 0o600) for name in _LOCKS)
            (path / "server.toml").write_text(_CONFIG)
        except OSError as error:
            _close(locks)
            raise _unusable(path, error) from error
        return cls(path, *locks)

    def close(self) -> None:
        """Release the locks, those that a fork inherited included."""
        for lock in (self._users, self._gate):
            fcntl.flock(lock, fcntl.LOCK_UN)
        _close([self._gate, self._users, self._server])

    @contextmanager
    def gate(self, deadline: float) -> Iterator[None]:
        """Lock the gate, so that one process at a time starts, joins or leaves."""
        if not _lock(self._gate, fcntl.LOCK_EX, deadline):
            raise EmbeddedLogError(
                f"another process keeps starting or stopping the embedded event log in {self.path}",
                hint=f"try again; the server's log is {self.path / 'server.log'}",
            )
        try:
            yield
        finally:
            fcntl.flock(self._gate, fcntl.LOCK_UN)

    def enter(self, deadline: float) -> None:
        """Become a user; behind the gate no other lock conflicts."""
        _lock(self._users, fcntl.LOCK_SH, deadline)

    def is_last(self) -> bool:
        """Return whether no other process uses the log; otherwise give up this share. Call it behind the gate."""
        return _lock(self._users, fcntl.LOCK_EX)

    def is_used(self) -> bool:
        """Return whether any process uses the log; for one that is not a user. Call it behind the gate."""
        is_free = _lock(self._users, fcntl.LOCK_EX)
        if is_free:
            fcntl.flock(self._users, fcntl.LOCK_UN)
        return not is_free

    def is_served(self) -> bool:
        """Return whether the server's process is alive."""
        if _lock(self._server, fcntl.LOCK_SH):
            fcntl.flock(self._server, fcntl.LOCK_UN)
            return False
        return True

    @contextmanager
    def lock_for_server(self, deadline: float) -> Iterator[int]:
        """Hold the server's lock while its process is started, which inherits the descriptor and so keeps the lock."""
        lock = os.open(self.path / "server.lock", os.O_RDWR)
        try:
            _lock(lock, fcntl.LOCK_EX, deadline)
            yield lock
        finally:
            os.close(lock)

    @property
    def log(self) -> Path:
        """The file that the server writes its log to."""
        return self.path / "server.log"

    def note(self) -> Note | None:
        """Return the note that the server's process has written."""
        return Note.read(self.path / "server.json")

    def last_port(self) -> int | None:
        """Return the port of the former server."""
        note = Note.read(self.path / "last.json")
        return note.port if note else None

    def forget(self) -> None:
        """Move the note of a server that has ended to `last.json`."""
        with suppress(FileNotFoundError):
            os.replace(self.path / "server.json", self.path / "last.json")


def _refuse_foreign(path: Path) -> None:
    names = set(os.listdir(path)) - _NOT_THINGS
    if names and MARK not in names:
        raise EmbeddedLogError(
            f"{path} holds other files and is not an embedded event log", hint="name a new or an empty directory"
        )


def _unusable(path: Path, error: OSError) -> EmbeddedLogError:
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        return EmbeddedLogError(f"{path} is not a directory", hint="name a new or an empty directory")
    return EmbeddedLogError(
        f"the embedded event log cannot use {path}: {error.strerror}", hint="name a directory that you may write to"
    )


def _lock(descriptor: int, operation: int, deadline: float | None = None) -> bool:
    """Take a lock, trying until the deadline; at least once."""
    while True:
        try:
            fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise EmbeddedLogError(
                    f"the file system does not support locks: {error.strerror}",
                    hint="put the embedded event log on a local disk",
                ) from error
        else:
            return True
        if deadline is None or time.monotonic() >= deadline:
            return False
        time.sleep(POLL_SECONDS)  # a lock of a file has no wait with a limit


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
