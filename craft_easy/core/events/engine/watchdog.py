"""The watchdog of an event loop: another thread that detects a blocked loop and names the handler at fault."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Final

from craft_easy.core.events.clock import steady

log: Final = logging.getLogger("craft_easy.core.events")

ASK_S: Final = 0.5
"""Seconds between two checks of a loop without a heartbeat thread."""


@dataclass(frozen=True, slots=True)
class RunningHandler:
    """A handler that runs on the loop.

    Args:
        handler_id: its id.
        code: the code object of its frames.
        limit: seconds that it may take.
        event_id: the event that it runs on.
        since: when it began, in seconds of `clock.steady`.
    """

    handler_id: str
    code: CodeType | None
    limit: float
    event_id: str = ""
    since: float = field(default_factory=steady)


class RunningHandlers:
    """The handlers that run on one event loop; other threads may read it."""

    def __init__(self) -> None:
        self._running: dict[object, RunningHandler] = {}

    @contextmanager
    def including(self, run: object, handler: RunningHandler) -> Iterator[None]:
        """Count a handler among those that run until the block ends."""
        self._running[run] = handler
        try:
            yield
        finally:
            del self._running[run]

    def find(self, run: object) -> RunningHandler | None:
        """Return the handler of a run, unless it has not begun or has ended."""
        return self._running.get(run)

    @property
    def longest(self) -> float:
        """The longest limit among the handlers that run, in seconds; 0 where none runs."""
        return max((handler.limit for handler in list(self._running.values())), default=0.0)

    def longer_than(self, seconds: float) -> set[str]:
        """Return the ids of the handlers that have been running for longer than this."""
        before = steady() - seconds
        return {handler.handler_id for handler in list(self._running.values()) if handler.since < before}

    def longest_running(self, number: int) -> list[RunningHandler]:
        """Return the handlers that have run for the longest, that one first."""
        return sorted(self._running.values(), key=lambda handler: handler.since)[:number]

    def at_work(self, frame: FrameType | None) -> list[str]:
        """Return the ids of the handlers that a thread's stack shows, or of all that run."""
        running = list(self._running.values())
        while frame is not None:
            shown = [handler.handler_id for handler in running if handler.code is frame.f_code]
            if shown:
                return shown
            frame = frame.f_back
        return sorted({handler.handler_id for handler in running})


class Watchdog:
    """Finds out whether the running loop answers; made on that loop, used from another thread.

    A loop that does not answer may have a handler at work, for as long as its limit allows.

    Args:
        running_handlers: the handlers that run on the loop.
        limit: returns the seconds for which the loop may be blocked.
        consequence: the end of the message: the effect of a blocked loop.
        on_hang: called from the other thread with a message that names the handler, once for each time of blocking.
    """

    def __init__(
        self,
        running_handlers: RunningHandlers,
        *,
        limit: Callable[[], float],
        consequence: str,
        on_hang: Callable[[str], None] = log.error,
    ) -> None:
        self.on_hang = on_hang
        self._running_handlers = running_handlers
        self._limit = limit
        self._consequence = consequence
        self._loop = asyncio.get_running_loop()
        self._thread_id = threading.get_ident()
        self._asked_at: float | None = None
        self._is_reported = False

    def ask(self) -> bool:
        """Ask the loop for an answer, and return whether the loop is still open."""
        if self._asked_at is None:
            self._asked_at = steady()
        try:
            self._loop.call_soon_threadsafe(self._answer)
        except RuntimeError:
            return False
        return True

    def _answer(self) -> None:
        self._asked_at = None
        self._is_reported = False

    def check(self) -> bool:
        """Return whether the loop answers within the limit; report the handler that blocks it if it does not."""
        limit, asked_at = self._limit(), self._asked_at
        if asked_at is None or steady() - asked_at <= limit:
            return True
        if not self._is_reported:
            self._is_reported = True
            self.on_hang(self._message(limit))
        return False

    def _message(self, limit: float) -> str:
        frame = sys._current_frames().get(self._thread_id)  # noqa: SLF001 - the one way to see another thread's stack
        names = ", ".join(map(repr, self._running_handlers.at_work(frame))) or "code outside of any handler"
        where = f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else "an unknown place"
        return f"{names} blocks the event loop for more than {limit:g} s, at {where}: {self._consequence}"


@contextmanager
def watching(watchdog: Watchdog) -> Iterator[None]:
    """Have a thread watch the loop until the block ends."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(ASK_S) and watchdog.ask():
            watchdog.check()

    threading.Thread(target=watch, name="watch the loop", daemon=True).start()
    try:
        yield
    finally:
        ended.set()
