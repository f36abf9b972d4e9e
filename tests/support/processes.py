"""Runs of the installed script whose lines are read as they come."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue
from typing import Any, Final, Self

PROGRAM = shutil.which("craft-events", path=str(Path(sys.executable).parent)) or "craft-events"
FOLLOWING = "following "


class Run:
    """A run of the installed script whose lines are read one by one."""

    def __init__(self, *args: str, environ: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [PROGRAM, *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | (environ or {}),
        )
        self.out, self.err = Lines(self.process.stdout), Lines(self.process.stderr)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        self.out.close()
        self.err.close()

    def ended(self) -> int:
        return self.process.wait(60)


STAMP: Final = re.compile(r"^\d{4}-\d\d-\d\dT[\d:]{8}Z [A-Z]+ ")
"""What the lines of a service begin with: their time and their level."""


class Lines:
    """The lines of a pipe, read by a thread; those of a service without their times."""

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe
        self._queue: Queue[str] = Queue()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with suppress(ValueError):
            for line in self._pipe:
                self._queue.put(STAMP.sub("", line.rstrip("\n"), count=1))

    def next(self) -> str:
        """Return the next line."""
        try:
            return self._queue.get(timeout=60)
        except Empty:
            raise AssertionError("no line came") from None

    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.next())
        return event

    def until(self, beginning: str) -> str:
        while not (line := self.next()).startswith(beginning):
            pass
        return line

    def rest(self) -> list[str]:
        self._thread.join(60)
        lines = []
        with suppress(Empty):
            while True:
                lines.append(self._queue.get_nowait())
        return lines

    def close(self) -> None:
        self._thread.join(60)
        self._pipe.close()


def number(event: dict[str, Any]) -> int:
    return int(event["event_id"][-12:], 16)
