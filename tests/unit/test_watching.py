"""What a watch reports of its work."""

from __future__ import annotations

from typing import Any

import pytest

from craft_easy.core.events.engine.report import DeliveryReport, Working
from craft_events_cli.output.watching import NOTED_EVERY, WatchStatus


class Lines:
    """A progress line without a terminal, or with one, that keeps what it shows."""

    def __init__(self, *, is_shown: bool) -> None:
        self.is_shown = is_shown
        self.noted: list[str] = []
        self.drawn: list[str] = []
        self.now = 100.0

    def note(self, text: str) -> None:
        self.noted.append(text)

    def draw(self, text: str) -> None:
        self.drawn.append(text)


def status(lines: Any) -> WatchStatus:
    return WatchStatus(lines, clock=lambda: lines.now)


def delivered(outcome: str) -> DeliveryReport:
    return DeliveryReport("e", "order.placed", None, "a", outcome, 1, None, None)


def test_a_full_worker_and_an_idle_one_say_so_on_a_terminal() -> None:
    lines = Lines(is_shown=True)
    watch = status(lines)
    watch.show(Working(0, 0))
    for _ in range(20):
        watch.count(delivered("done"))
    watch.count(delivered("dead"))
    lines.now += 10
    watch.show(Working(3, 1_207))
    assert lines.drawn == [
        "idle: nothing is due",
        "3 running · 1,207 waiting · 20 delivered · 1 failed · 2.1/s",
    ]
    lines.now += 60
    watch.show(Working(1, 0))
    lines.now += 60
    watch.show(Working(1, 0))
    assert lines.drawn[-1] == "1 running · 20 delivered · 1 failed · 0.0/s", (
        "the rate is that of now, and no time is left"
    )
    assert lines.noted == []


def test_without_a_terminal_a_busy_worker_writes_a_line_a_minute_and_an_idle_one_a_single_line() -> None:
    lines = Lines(is_shown=False)
    watch = status(lines)
    for _ in range(5):
        watch.show(Working(0, 0))
        lines.now += NOTED_EVERY
    assert lines.noted == ["idle: nothing is due"]
    for _ in range(120):
        watch.show(Working(10, 0))
        lines.now += 1
    assert len(lines.noted) == 3


@pytest.mark.parametrize(
    ("outcome", "counted"), [("done", "1 delivered"), ("failed", "1 failed"), ("retried", "0.0/s")]
)
def test_an_attempt_counts_as_what_it_was(outcome: str, counted: str) -> None:
    lines = Lines(is_shown=True)
    watch = status(lines)
    watch.count(delivered(outcome))
    watch.show(Working(1, 0))
    assert counted in lines.drawn[-1]
