"""Naming what blocks an event loop: a thread asks the loop, and looks at its stack where no answer comes."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from craft_easy.core.events.clock import steady
from craft_easy.core.events.engine.lease import RunningHandlers

ASKS_S: Final = 0.5
"""Seconds between two questions to the loop."""


class LoopWatch:
    """Watches the running loop until the block ends.

    Args:
        at_work: the handlers that run on it, and how long they may.
        slack: seconds that a handler may block beyond that.
        on_hang: called from the thread that watches, once, with a text that names what blocks the loop.
    """

    def __init__(self, running_handlers: RunningHandlers, *, slack: float, on_hang: Callable[[str], None]) -> None:
        self._at_work = running_handlers
        self._slack = slack
        self._on_hang = on_hang
        self._loop = asyncio.get_running_loop()
        self._watched = threading.get_ident()
        self._answered = steady()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watch the loop", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._ended.set()

    def _watch(self) -> None:
        while not self._ended.wait(ASKS_S):
            try:
                self._loop.call_soon_threadsafe(self._answer)
            except RuntimeError:
                return  # the loop is closed
            hang_limit = self._at_work.longest + self._slack
            if self._at_work.longest and steady() - self._answered > hang_limit:
                self._on_hang(self._words(hang_limit))
                return

    def _answer(self) -> None:
        self._answered = steady()

    def _words(self, hang_limit: float) -> str:
        frame = sys._current_frames().get(self._watched)  # noqa: SLF001 - the one way to see another thread's stack
        names = ", ".join(map(repr, self._at_work.whose(frame))) or "what runs there"
        where = f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else "an unknown place"
        return f"{names} blocks the event loop for more than {hang_limit:g} s, at {where}: nothing else can run"
