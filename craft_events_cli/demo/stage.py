"""The processes of the demo: a directory, an embedded log, the publisher's process, the installed console script.

All of them are ended by process id, and temporary files removed, however the demo ends.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self

from craft_easy.core.events import embedded
from craft_easy.core.events.errors import EventsError
from craft_easy.core.events.locked_file import at_home
from craft_events_cli import terminal
from craft_events_cli.demo.ledger import VARIABLE
from craft_events_cli.errors import ExitCode, UsageError

PROGRAM: Final = "craft-events"
SHOP: Final = "craft_events_cli.demo.shop"
END_SECONDS: Final = 5.0


class DemoFailed(EventsError):
    """The demo cannot continue."""


class PublishingProcess:
    """The publisher's process; it prints the id of each event whose publish has returned."""

    def __init__(self, environment: dict[str, str], directory: Path) -> None:
        self._errors = directory / "publisher.log"
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "craft_events_cli.demo.publisher"],
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,  # Ctrl-C goes to the demo, which then ends this process
            )
        self.published: list[str] = []
        self._has_more = threading.Condition()
        self._is_over = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.endswith("\n"):  # the kill may have cut the last line
                self._take_in(line.strip())
        self._take_in(None)

    def _take_in(self, event_id: str | None) -> None:
        with self._has_more:
            if event_id is None:
                self._is_over = True
            else:
                self.published.append(event_id)
            self._has_more.notify_all()

    def wait_until(self, count: int, *, seconds: float = 60) -> None:
        """Wait until `count` events are published.

        Raises:
            DemoFailed: the process ended, or the wait timed out.
        """
        with self._has_more:
            self._has_more.wait_for(lambda: self._is_over or len(self.published) >= count, seconds)
            if len(self.published) < count:
                raise DemoFailed(
                    f"the publisher stopped after {len(self.published)} of {count} events", hint=self._last_words()
                )

    def _last_words(self) -> str | None:
        lines = self._errors.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else None

    def kill(self) -> None:
        """Kill the process with SIGKILL; a second call does nothing."""
        self._process.kill()
        self._process.wait()
        self._reader.join()


class Stage:
    """A directory with an embedded log, and the processes that use it.

    Args:
        directory: a new or empty directory to keep; None for a temporary one, which is removed.

    Raises:
        UsageError: the directory is not empty.
        EmbeddedLogError: the embedded log cannot be used on this machine.
    """

    def __init__(self, directory: Path | None) -> None:
        self.is_kept = directory is not None
        self.directory = Path(tempfile.mkdtemp(prefix="craft-events-demo-")) if directory is None else _made(directory)
        self.ledger = self.directory / "ledger.txt"
        self.publisher: PublishingProcess | None = None
        self._command: subprocess.Popen[Any] | None = None
        self._log: embedded.EmbeddedLog | None = None

    def __enter__(self) -> Self:
        try:
            self._log = embedded.join(self.directory / "events")
        except BaseException:
            self._clear()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._clear()

    def _clear(self) -> None:
        with _undisturbed():
            if self._command is not None:
                _end(self._command)
            if self.publisher is not None:
                self.publisher.kill()
            if self._log is not None:
                self._log.leave()
            if not self.is_kept:
                shutil.rmtree(self.directory, ignore_errors=True)
            with suppress(OSError):
                self.directory.rmdir()  # the directory to keep is removed too if it is empty

    @property
    def settings(self) -> dict[str, str]:
        """The environment variables for a user who continues with this log."""
        return {"CRAFT_EVENTS_URI": "embedded:./events", "CRAFT_EVENTS_HANDLERS": SHOP}

    @property
    def environment(self) -> dict[str, str]:
        """The environment of every process of the demo, without the user's own settings."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CRAFT_EVENTS_")}
        return {**kept, **self.settings, VARIABLE: str(self.ledger)}

    def open_shop(self) -> PublishingProcess:
        """Start the publisher."""
        self.publisher = PublishingProcess(self.environment, self.directory)
        return self.publisher

    def run(self, *args: str) -> ExitCode:
        """Run one command of the console script; its output goes where the demo's output goes.

        Raises:
            DemoFailed: the command failed.
        """
        target = terminal.stdout()
        terminal.flush()
        code = self._wait_for([*args, *_color()], stdout=target.fileno(), stderr=target.fileno())
        if code not in (ExitCode.DONE, ExitCode.UNFINISHED):
            raise DemoFailed(f"{PROGRAM} {args[0]} ended with exit code {code}")
        return ExitCode(code)

    def read(self, *args: str) -> bytes:
        """Run one command and return its stdout."""
        with tempfile.TemporaryFile(dir=self.directory) as output:
            code = self._wait_for(args, stdout=output, stderr=subprocess.DEVNULL)
            if code != ExitCode.DONE:
                raise DemoFailed(f"{PROGRAM} {args[0]} ended with exit code {code}")
            output.seek(0)
            return output.read()

    def _wait_for(self, args: Sequence[str], **streams: Any) -> int:
        self._command = subprocess.Popen(
            [*console_script(), *args], cwd=self.directory, env=self.environment, stdin=subprocess.DEVNULL, **streams
        )
        code = self._command.wait()
        self._command = None
        return code


def console_script() -> list[str]:
    """Return the path of the console script in the environment of this interpreter."""
    found = shutil.which(PROGRAM, path=str(Path(sys.executable).parent))
    return [found] if found else [sys.executable, "-m", "craft_events_cli"]


def _color() -> list[str]:
    return ["--color", "always"] if terminal.is_colored(terminal.stdout()) else ["--color", "never"]


def _made(directory: Path) -> Path:
    place = at_home(directory).absolute()
    try:
        place.mkdir(parents=True, exist_ok=True)
        is_empty = not any(place.iterdir())
    except OSError as error:
        raise UsageError(f"--dir: {place}: {error.strerror}") from None
    if not is_empty:
        raise UsageError(f"--dir: {place} is not empty", hint="name a directory that is new or empty")
    return place


def _end(process: subprocess.Popen[Any]) -> None:
    """End a process: terminate it, then kill it."""
    with suppress(subprocess.TimeoutExpired):
        process.terminate()
        process.wait(END_SECONDS)
    process.kill()
    process.wait()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ignore the signals that end a run, so that a second Ctrl-C does not interrupt the clean-up."""
    former = {}
    if threading.current_thread() is threading.main_thread():
        former = {
            number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        }
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
