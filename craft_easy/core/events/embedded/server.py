"""The server's process: started, recognised, watched and stopped, always behind the directory's gate.

A shell writes its own process id to `server.json`, starts the keeper, and becomes the server. So a starter that dies at
any moment leaves no server that cannot be found or is never stopped: while the server lives it holds `server.lock`,
`server.json` names it, and the keeper waits for the last user to go.
"""

from __future__ import annotations

import errno
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Final

from craft_easy.core.events.embedded.directory import POLL_SECONDS, Directory, Note
from craft_easy.core.events.errors import EmbeddedLogError

NEWEST_PYTHON: Final = (3, 13)
"""The newest Python that SecantusDB is built for; it needs CPython."""
DATABASE: Final = "craft_events_embedded"
STOP_SECONDS: Final = 30.0
SIGNAL_SECONDS: Final = 0.5
KEEPER: Final = "craft_easy.core.events.embedded.keeper"
ANSWER_SECONDS: Final = 2.0
FIRST_ANSWER_SECONDS: Final = 0.2
"""The first limit for an answer, which grows at each try: another program may hold the port and never answer."""
_TRIES: Final = 5
_MAX_LOG: Final = 1 << 20
_WEEK: Final = 7 * 24 * 3600

_BECOME: Final = """
umask 077
printf '{"pid": %d, "port": %d, "nonce": "%s"}\\n' "$$" "$1" "$2" > server.json.new &&
mv -f server.json.new server.json && { "$3" -P -m "$4" "$PWD" >/dev/null 2>&1 & } && shift 4 && exec "$@"
"""
"""Writes the note, then starts the keeper, then becomes the server, so that a kill can only leave out later steps."""
_DETACH: Final = '/bin/sh -c "$0" sh "$@" &'
"""The shell that starts the server ends at once, so that init adopts the server and reaps it."""


class _Ended(Exception):
    """The server's process ended before it answered."""


def find_program() -> list[str]:
    """Return the command that runs the server, of the environment that this interpreter belongs to.

    Raises:
        EmbeddedLogError: SecantusDB is not installed, or does not run on this Python.
    """
    _refuse_unsupported_python()
    try:
        package = distribution("SecantusDB")
    except PackageNotFoundError:
        raise EmbeddedLogError(
            "the embedded event log needs SecantusDB, which is not installed",
            hint="pip install 'craft-events[embedded]'",
        ) from None
    return _script_of(package) or [sys.executable, "-m", "secantus"]


def _refuse_unsupported_python() -> None:
    if sys.implementation.name == "cpython" and sys.version_info[:2] <= NEWEST_PYTHON:
        return
    running = f"{platform_name()} {sys.version_info[0]}.{sys.version_info[1]}"
    raise EmbeddedLogError(
        f"the embedded event log runs on CPython 3.10 to {NEWEST_PYTHON[0]}.{NEWEST_PYTHON[1]}; this is {running}",
        hint="use one of those Pythons, or a MongoDB server (--uri mongodb://…)",
    )


def platform_name() -> str:
    """Return the usual name of this Python."""
    return {"cpython": "CPython", "pypy": "PyPy"}.get(sys.implementation.name, sys.implementation.name)


def _script_of(package: Distribution) -> list[str] | None:
    names = [Path(str(package.locate_file(file))) for file in package.files or () if file.name == "secantusd-py"]
    names.append(Path(sys.executable).with_name("secantusd-py"))
    return next(([os.path.realpath(name)] for name in names if os.access(name, os.X_OK)), None)


def find_or_start(place: Directory, program: list[str], port: int | None, deadline: float) -> Note:
    """Return the server that runs on the directory, or start one.

    Raises:
        EmbeddedLogError: it runs on a port other than `port`, does not answer, or does not start.
    """
    if place.is_served():
        try:
            return _on_port(port, _answering(place, deadline), place)
        except _Ended:
            pass  # it was on its way out
    return _start(place, program, port, deadline)


def _on_port(port: int | None, note: Note, place: Directory) -> Note:
    if port in (None, note.port):
        return note
    raise EmbeddedLogError(
        f"the embedded event log in {place.path} runs already, on port {note.port}",
        hint="leave the port out to join it, or stop the processes that use it",
    )


def _start(place: Directory, program: list[str], port: int | None, deadline: float) -> Note:
    place.forget()
    for candidate in [port] if port else [place.last_port() or _free_port(), *(0,) * (_TRIES - 1)]:
        chosen = candidate or _free_port()
        began = _spawn(place, program, chosen, deadline)
        try:
            return _answering(place, deadline)
        except _Ended:
            output = _log_since(place, began)
        if os.strerror(errno.EADDRINUSE) not in output:
            break
    raise _not_started(place, chosen, output)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _spawn(place: Directory, program: list[str], port: int, deadline: float) -> int:
    """Start the server and return the offset in the log at which its output begins."""
    settings = ["--config", "server.toml", "--host", "127.0.0.1", "--port", str(port), "--storage-path", "data"]
    settings += ["--oplog-retention-seconds", str(_WEEK), "--oplog-max-entries", "1000000"]
    nonce = secrets.token_hex(16)
    with place.lock_for_server(deadline) as lock, place.log.open("ab") as log:
        if log.tell() > _MAX_LOG:
            log.truncate(0)
        began = os.fstat(log.fileno()).st_size
        subprocess.run(
            ["/bin/sh", "-c", _DETACH, _BECOME, str(port), nonce, sys.executable, KEEPER, *program, *settings],
            cwd=place.path,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[lock],
            start_new_session=True,  # a Ctrl-C in this terminal is not meant for it
            check=True,
        )
    return began


def _environment() -> dict[str, str]:
    """Return the server's environment, without the settings of this program's interpreter."""
    kept = {"PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE"}
    return {
        name: value
        for name, value in os.environ.items()
        if name in kept or not name.startswith(("PYTHON", "COVERAGE_"))
    }


def _answering(place: Directory, deadline: float) -> Note:
    """Wait until the server of this directory answers.

    Raises:
        _Ended: its process is gone.
        EmbeddedLogError: it lives and does not answer in time.
    """
    hang_limit = FIRST_ANSWER_SECONDS
    while place.is_served():
        note = place.note()
        if note and _is_recognised(note, hang_limit):
            return note
        if time.monotonic() > deadline:
            raise _silent(place, note)
        hang_limit = min(hang_limit * 1.5, ANSWER_SECONDS)
        time.sleep(POLL_SECONDS)  # the server is a process of its own: it has to be polled
    raise _Ended


def _is_recognised(note: Note, hang_limit: float) -> bool:
    """Return whether the server on the port is that of the note: only that server has the note's nonce.

    A new server is given the nonce once it was recognised by its process id. Nothing is written to any other program.
    """
    question = {"find": "server", "filter": {"_id": "nonce"}, "limit": 1}
    answer = _ask(note.port, DATABASE, question, hang_limit)
    if answer is None:
        return False
    if {"_id": "nonce", "is": note.nonce} in answer["cursor"]["firstBatch"]:
        return True
    status = _ask(note.port, "admin", {"serverStatus": 1}, hang_limit)
    is_new = status is not None and status.get("pid") == note.pid and "secantus" in status
    return is_new and _introduce(note, hang_limit)


def _introduce(note: Note, hang_limit: float) -> bool:
    change = {"q": {"_id": "nonce"}, "u": {"_id": "nonce", "is": note.nonce}, "upsert": True}
    answer = _ask(note.port, DATABASE, {"update": "server", "updates": [change]}, hang_limit)
    return answer is not None and answer.get("n") == 1


def stop(place: Directory, known: Note | None = None) -> None:
    """Stop the server and wait until it has written everything; one that hangs is killed, which loses nothing.

    Args:
        place: the directory, which has no other user.
        known: the server to stop where the directory was removed and cannot name it any more.
    """
    deadline = time.monotonic() + STOP_SECONDS
    note = _noted(place, deadline) or known
    if note and not _ends(place, note, signal.SIGTERM, deadline):
        _ends(place, note, signal.SIGKILL, time.monotonic() + STOP_SECONDS)
    if note:
        with suppress(ChildProcessError):  # it is ours to reap only where this process is the init of a container
            os.waitpid(note.pid, os.WNOHANG)
    place.forget()


def _noted(place: Directory, deadline: float) -> Note | None:
    """Return the note of a living server; a server that has just started has yet to write it."""
    while (note := place.note()) is None and place.is_served() and place.path.exists():
        if time.monotonic() > deadline:
            break
        time.sleep(POLL_SECONDS)  # the server is a process of its own: it has to be polled
    return note


def _ends(place: Directory, note: Note, number: signal.Signals, deadline: float) -> bool:
    """Signal the server until it is gone or the deadline has come.

    CPython may put a signal aside that comes while its main thread goes to sleep (right after a start, say), until the
    next one. So a server that still answers gets another; one that has begun to stop does not, and must not.
    """
    while place.is_served():
        _signal(note, number)
        again = time.monotonic() + SIGNAL_SECONDS
        while place.is_served() and (time.monotonic() < again or not is_answering(note.port)):
            if time.monotonic() > deadline:
                return False
            _knock(note)
            time.sleep(POLL_SECONDS)  # the server is a process of its own: it has to be polled
    return True


def _signal(note: Note, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(note.pid, number)


def _knock(note: Note) -> None:
    """Connect: a server that stops waits two seconds for its `accept` to return, unless a client connects."""
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", note.port), ANSWER_SECONDS).close()


def is_answering(port: int, seconds: float = ANSWER_SECONDS) -> bool:
    """Return whether a MongoDB server answers on a port of 127.0.0.1 within a limit in seconds."""
    return _ask(port, "admin", {"ping": 1}, seconds) is not None


def _ask(port: int, database: str, command: dict[str, Any], seconds: float) -> dict[str, Any] | None:
    """Run a command once on 127.0.0.1 and return the answer; None on a timeout."""
    # the keeper, which asks only at its end, does without the 30 MiB of a driver
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    limit = max(1, round(seconds * 1000))
    limits: dict[str, Any] = {"serverSelectionTimeoutMS": limit, "connectTimeoutMS": limit, "socketTimeoutMS": limit}
    try:
        socket.create_connection(("127.0.0.1", port), seconds).close()  # a closed port fails at once
        client: MongoClient[dict[str, Any]] = MongoClient("127.0.0.1", port, directConnection=True, **limits)
        with client:
            return client[database].command(command)
    except (OSError, PyMongoError):
        return None


def _log_since(place: Directory, began: int) -> str:
    with place.log.open("rb") as log:
        log.seek(began)
        return log.read().decode(errors="replace")


def _not_started(place: Directory, port: int, output: str) -> EmbeddedLogError:
    if os.strerror(errno.EADDRINUSE) in output:
        return EmbeddedLogError(
            f"the embedded event log cannot listen on port {port}: another program does",
            hint="choose another port, or leave the port out",
        )
    last = next((line.strip() for line in reversed(output.splitlines()) if line.strip()), "it printed nothing")
    return EmbeddedLogError(
        f"the embedded event log in {place.path} did not start: {last}", hint=f"its log is {place.log}"
    )


def _silent(place: Directory, note: Note | None) -> EmbeddedLogError:
    which = f"process {note.pid}, port {note.port}" if note else "its process"
    return EmbeddedLogError(
        f"the embedded event log in {place.path} runs ({which}) and does not answer",
        hint=f"try again, it may be recovering; its log is {place.log}",
    )
