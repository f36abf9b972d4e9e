"""What a watch does now: one line, redrawn on a terminal; without a terminal at most a line a minute.

3 running · 7 waiting · 1,204 delivered · 2 failed · 12.3/s
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from craft_easy.core.events.clock import steady

if TYPE_CHECKING:
    from craft_easy.core.events.engine.report import DeliveryReport, Working
    from craft_events_cli.output.progress import Progress

RATE_S: Final = 10.0
"""Seconds over which the rate is measured."""
NOTED_EVERY: Final = 60.0
"""Seconds between two lines at least, where no terminal shows them."""


class WatchStatus:
    """Shows what a watch does.

    Args:
        progress: draws the line, or writes it as a note.
        clock: returns seconds.
    """

    def __init__(self, progress: Progress, clock: Callable[[], float] = steady) -> None:
        self._progress = progress
        self._clock = clock
        self._delivered = 0
        self._failed = 0
        self._ended: deque[tuple[float, int]] = deque([(clock(), 0)])
        self._noted_at: float | None = None
        self._noted = ""
        self.is_on = False

    def count(self, report: DeliveryReport) -> None:
        """Count a delivery that has ended."""
        self._delivered += report.outcome == "done"
        self._failed += report.outcome in ("failed", "dead")

    def show(self, working: Working) -> None:
        """Show the line; called each second or so."""
        self.is_on = True
        now = self._clock()
        text = self._text(working, self._rate(now))
        if self._progress.is_shown:
            self._progress.draw(text)
        elif self._is_due(now) and (working.running or text != self._noted):
            self._noted_at, self._noted = now, text
            self._progress.note(text)

    def _is_due(self, now: float) -> bool:
        return self._noted_at is None or now - self._noted_at >= NOTED_EVERY

    def _rate(self, now: float) -> float:
        self._ended.append((now, self._delivered + self._failed))
        while len(self._ended) > 2 and now - self._ended[1][0] >= RATE_S:
            self._ended.popleft()
        began, before = self._ended[0]
        return (self._delivered + self._failed - before) / (now - began) if now > began else 0.0

    def _text(self, working: Working, rate: float) -> str:
        counts = [f"{self._delivered:,} delivered"] if self._delivered else []
        counts += [f"{self._failed:,} failed"] if self._failed else []
        if not working.running and not working.waiting:
            return " · ".join(["idle: nothing is due", *counts])
        now = [f"{working.running:,} running", *([f"{working.waiting:,} waiting"] if working.waiting else [])]
        return " · ".join([*now, *counts, f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s"])
