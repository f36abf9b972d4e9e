"""A checkpoint: a small file that stores how far a command came, so that the next run continues from there.

It is JSON, replaced as a whole by rename(2): a process that is killed leaves the old position or the new one, never
half of one. The lock is a flock(2) on the file itself and moves to each file that takes its place.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from craft_easy.core.events import locked_file
from craft_easy.core.events.errors import CheckpointError

MAX_BYTES: Final = 1_000_000
"""The largest file that is read as a checkpoint."""


class Checkpoint:
    """The file in which one command, over one log with the same filters, notes how far it came.

        checkpoint = Checkpoint(path, kind="replay", log="shop.event_log", filters={"type": ["payment.*"]})
        with checkpoint.lock():
            position = checkpoint.read()
            ...
            checkpoint.write({"after": "…"})

    Args:
        path: the file; it need not exist. A link is followed.
        kind: the command: "replay", "tail", "export".
        log: database and collection.
        filters: the selection, as JSON; the next run must have the same.

    Raises:
        CheckpointError: this system has no POSIX locks.
    """

    def __init__(self, path: str | Path, *, kind: str, log: str, filters: Mapping[str, Any]) -> None:
        if not locked_file.is_supported():
            raise CheckpointError(
                "a checkpoint needs POSIX locks, which Windows lacks", hint="use Linux, macOS or WSL, or no checkpoint"
            )
        self.path = Path(os.path.realpath(locked_file.at_home(path)))
        self._head = {"kind": kind, "log": log, "filters": json.loads(json.dumps(dict(filters)))}
        self._lock: int | None = None

    def read(self) -> dict[str, Any] | None:
        """Return the position that was written last; None before the first.

        Raises:
            CheckpointError: the file belongs to another command or log, or has other filters; is not a checkpoint;
                cannot be read, or could not be written later.
        """
        data = self._content()
        self._check_writable()
        if not data:
            return None
        content = self._parsed(data)
        self._check_head(content)
        position: dict[str, Any] = content["position"]
        return position

    def write(self, position: Mapping[str, Any]) -> None:
        """Replace the position; when this returns the new one is on disk.

        Raises:
            CheckpointError: the file cannot be written; the former position is still there.
        """
        data = json.dumps({**self._head, "position": dict(position)}, indent=1).encode() + b"\n"
        try:
            self._replace(data)
        except OSError as error:
            raise self._failed("cannot be written", error) from error

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the file for this process, until the block or the process ends.

        Raises:
            CheckpointError: another process uses the file, or it cannot be opened.
        """
        self._lock = self._locked()
        try:
            yield
        finally:
            os.close(self._lock)
            self._lock = None
            self._remove_if_empty()

    # reading

    def _content(self) -> bytes:
        try:
            self._check_regular(os.stat(self.path))
            with open(self.path, "rb") as file:
                return file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise self._failed("cannot be read", error) from error

    def _parsed(self, data: bytes) -> dict[str, Any]:
        try:
            content = json.loads(data) if len(data) <= MAX_BYTES else None
        except (ValueError, RecursionError):
            content = None
        if isinstance(content, dict) and "kind" in content and "log" in content:
            objects = content.get("filters"), content.get("position")
            if all(isinstance(part, dict) for part in objects):
                return content
        raise CheckpointError(
            f"{self.path} is not a checkpoint", hint="name another file, or one that does not exist yet"
        )

    def _check_head(self, content: Mapping[str, Any]) -> None:
        if content["kind"] != self._head["kind"]:
            raise CheckpointError(
                f"{self.path} is the checkpoint of another command: {content['kind']}, not {self._head['kind']}",
                hint="give each command a checkpoint of its own",
            )
        if content["log"] != self._head["log"]:
            raise CheckpointError(
                f"{self.path} is the checkpoint of another log: {content['log']}, not {self._head['log']}",
                hint="give each log a checkpoint of its own",
            )
        self._check_filters(content["filters"], self._head["filters"])

    def _check_filters(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if names:
            raise CheckpointError(
                f"{self.path} was made with other filters: "
                + "; ".join(f"{name} was {_shown(before.get(name))} and is {_shown(now.get(name))}" for name in names),
                hint="give the same filters as before, or another checkpoint",
            )

    # writing

    def _replace(self, data: bytes) -> None:
        descriptor = self._new_file()
        try:
            locked_file.write_all(descriptor, data)
            os.fsync(descriptor)
            if self._lock is not None and not locked_file.try_lock(descriptor):
                raise BlockingIOError(errno.EWOULDBLOCK, "another process has locked the new file")
            os.replace(self._temporary, self.path)
            if self._lock is not None:
                descriptor, self._lock = self._lock, descriptor
        finally:
            os.close(descriptor)
            with suppress(FileNotFoundError):
                os.unlink(self._temporary)
        locked_file.sync_directory(self.path.parent)

    def _check_writable(self) -> None:
        """Fail at the start, not after an hour of work."""
        try:
            os.close(self._new_file())
            os.unlink(self._temporary)
        except OSError as error:
            raise self._failed("cannot be written", error) from error

    def _new_file(self) -> int:
        with suppress(FileNotFoundError):
            os.unlink(self._temporary)  # of a run that was killed
        return os.open(self._temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    @property
    def _temporary(self) -> Path:
        return self.path.with_name(f".{self.path.name}.new")

    # the lock

    def _locked(self) -> int:
        while True:
            descriptor = self._opened()
            try:
                is_locked = locked_file.try_lock(descriptor)
                if is_locked and self._is_in_place(descriptor):
                    return descriptor
            except OSError as error:
                os.close(descriptor)
                raise self._failed("cannot be locked", error) from error
            os.close(descriptor)
            if not is_locked:
                raise CheckpointError(
                    f"another process uses the checkpoint {self.path}", hint="wait for it, or stop it"
                )
            # another process has just put a new file in its place

    def _opened(self) -> int:
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._failed("cannot be written", error) from error
        try:
            self._check_regular(os.fstat(descriptor))
        except CheckpointError:
            os.close(descriptor)
            raise
        return descriptor

    def _is_in_place(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self.path))
        except FileNotFoundError:
            return False

    def _remove_if_empty(self) -> None:
        """Remove the file of a run that ended before its first write."""
        with suppress(OSError):
            if os.stat(self.path).st_size == 0:
                os.unlink(self.path)

    # errors

    def _check_regular(self, status: os.stat_result) -> None:
        if stat.S_ISDIR(status.st_mode):
            raise CheckpointError(f"{self.path} is a directory", hint="a checkpoint is a file: name one in it")
        if not stat.S_ISREG(status.st_mode):
            raise CheckpointError(f"{self.path} is not a file on a disk", hint="a checkpoint is a file: name another")

    def _failed(self, what: str, error: OSError) -> CheckpointError:
        reason = (error.strerror or type(error).__name__).lower()
        return CheckpointError(
            f"the checkpoint {self.path} {what}: {reason}", hint="name a file that you may read and write"
        )


def _shown(value: Any) -> str:
    return "not given" if value in (None, [], "", False) else json.dumps(value)
