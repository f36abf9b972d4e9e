"""The embedded event log: a MongoDB-compatible server in a process of its own, shared by all who join its directory.

    with embedded.join("var/events") as log:
        client = MongoClient(log.uri)

The server is SecantusDB (the extra `embedded`), on 127.0.0.1 and never imported: its licence is the GPL. The first user
starts it, the last to leave stops it, and a process that dies has left. `directory` has the files and their locks,
`server` the process, `keeper` the one that outlives the users. May import `errors`, `clock` and PyMongo.
"""

from __future__ import annotations

import atexit
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from craft_easy.core.events.embedded import server
from craft_easy.core.events.embedded.directory import MARK, Directory, Note
from craft_easy.core.events.errors import EmbeddedLogError
from craft_easy.core.events.locked_file import at_home

__all__ = ["EmbeddedLog", "is_there", "join", "logs_beside", "running_uri"]


def join(directory: str | Path, *, port: int | None = None, timeout: float = 30) -> EmbeddedLog:
    """Join the embedded log of a directory; start it where it does not run.

    Args:
        directory: a new or empty directory, or one of an earlier embedded log; `~` is the home directory.
        port: the port to listen on; by default the port of the last server, or a free one.
        timeout: seconds to wait for others who start or stop it, and for the server to answer.

    Raises:
        EmbeddedLogError: it cannot be used here; the hint names what to do.
    """
    if sys.platform == "win32":
        raise EmbeddedLogError(
            "the embedded event log runs on Linux and macOS, not on Windows",
            hint="use a MongoDB server (--uri mongodb://…), or WSL",
        )
    program = server.find_program()
    place = Directory.open(directory)
    deadline = time.monotonic() + timeout
    try:
        with place.gate(deadline):
            place.enter(deadline)
            return EmbeddedLog(place, server.find_or_start(place, program, port, deadline))
    except EmbeddedLogError:
        place.close()
        raise
    except BaseException:  # interrupted: what was started for us alone is not left behind
        _leave(place)
        raise


def is_there(directory: str | Path) -> bool:
    """Return whether a directory holds an embedded log, running or not. Creates nothing."""
    return (at_home(directory) / MARK).exists()


def logs_beside(directory: str | Path) -> list[str]:
    """Return the names of the directories next to this one that hold an embedded log."""
    return sorted(mark.parent.name for mark in at_home(directory).resolve().parent.glob(f"*/{MARK}"))


def running_uri(directory: str | Path) -> str | None:
    """Return the address of the embedded log that runs in a directory; None if no log runs there. Starts nothing."""
    note = Note.read(at_home(directory) / "server.json")
    return None if note is None else _uri(note)


class EmbeddedLog:
    """One user's share in a running embedded log; `leave` it when done.

    Attributes:
        uri: where it listens, for any MongoDB driver; it has no password.
        pid: the process of the server when it was joined.
        directory: where its data and its `server.log` lie.
    """

    def __init__(self, place: Directory, note: Note) -> None:
        self.uri = _uri(note)
        self.pid = note.pid
        self.directory = place.path
        self._note = note
        self._place: Directory | None = place
        self._owner = os.getpid()
        atexit.register(self.leave)

    def __repr__(self) -> str:
        return f"EmbeddedLog({str(self.directory)!r}, uri={self.uri!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.leave()

    def is_running(self) -> bool:
        """Return whether a server runs on the directory: it may have been killed."""
        return self._place is not None and self._place.is_served()

    def leave(self) -> bool:
        """Give up the share; the last user to leave stops the server once everything is written. Idempotent.

        Returns:
            Whether this was the last share.
        """
        place, self._place = self._place, None
        atexit.unregister(self.leave)
        if place is None or os.getpid() != self._owner:
            return False  # a fork inherits the object, not the share
        return _leave(place, self._note)


def _uri(note: Note) -> str:
    return f"mongodb://127.0.0.1:{note.port}/?directConnection=true"


def _leave(place: Directory, known: Note | None = None) -> bool:
    is_last = False
    with suppress(EmbeddedLogError), place.gate(time.monotonic() + server.STOP_SECONDS):
        is_last = place.is_last()
        if is_last:
            server.stop(place, known)
    place.close()
    return is_last
