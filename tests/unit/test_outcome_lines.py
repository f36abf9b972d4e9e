"""Deliveries as they end, for people and for programs."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from craft_easy.core.events.history.endings import Ending
from craft_events_cli import terminal
from craft_events_cli.output.cells import width_of
from craft_events_cli.output.outcome import COLUMNS, OutcomeLines, OutcomeRows

NOW = datetime(2026, 11, 23, 17, 44, 2, 131_000, tzinfo=UTC)
DONE = Ending("e-1", "order.placed", "acme", "shop.stock:reserve", "done", 1, None, 12.4, None, NOW)
FAILED = replace(DONE, handler="shop.mail:send", outcome="failed", error="CardExpired: card of c_204", took_ms=3.0)
Lines = Callable[..., list[str]]


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stream = io.StringIO()
    monkeypatch.setattr(terminal, "stdout", lambda: stream)
    return stream


@pytest.fixture
def lines(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> Lines:
    """Write deliveries that ended, each under its event by default, and return the lines."""

    def write(*endings: Ending, width: int = 120, below: str | None = "e-1", color: str = "never") -> list[str]:
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setattr(terminal._state, "color", terminal.Color(color))
        OutcomeLines(now=lambda: NOW).write(endings, below=below)
        return stream.getvalue().splitlines()

    return write


@pytest.mark.parametrize(
    ("ending", "line"),
    [
        (DONE, "17:44:02.131    ✓ shop.stock:reserve   12 ms"),
        (replace(DONE, attempt=3), "17:44:02.131    ✓ shop.stock:reserve   12 ms, attempt 3"),
        (FAILED, "17:44:02.131    ✗ shop.mail:send   attempt 1   CardExpired: card of c_204"),
        (replace(FAILED, error=None), "17:44:02.131    ✗ shop.mail:send   attempt 1   retry requested"),
        (
            replace(FAILED, outcome="dead", attempt=20),
            "17:44:02.131    ✗ shop.mail:send   dead, attempt 20   CardExpired: card of c_204",
        ),
        (
            replace(FAILED, outcome="dead", attempt=0, error=None, reason="crashed"),
            "17:44:02.131    ✗ shop.mail:send   dead   crashed its process repeatedly",
        ),
        (
            replace(DONE, outcome="skipped", reason="not wanted", took_ms=None),
            "17:44:02.131    – shop.stock:reserve   skipped   not wanted",
        ),
        (replace(DONE, at=NOW.replace(day=22)), "11-22 17:44:02.131    ✓ shop.stock:reserve   12 ms"),
    ],
)
def test_a_line_shows_the_outcome_of_a_delivery(lines: Lines, ending: Ending, line: str) -> None:
    assert lines(ending) == [line]


def test_the_event_is_named_unless_it_is_the_line_above(lines: Lines) -> None:
    assert lines(DONE, below="e-2") == ["17:44:02.131    ✓ shop.stock:reserve   12 ms   order.placed acme e-1"]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_no_line_is_wider_than_the_terminal(lines: Lines, width: int) -> None:
    long = replace(FAILED, handler="日本" * 40, error="E: " + "x" * 300, event_type="y" * 300)
    assert all(width_of(line) <= width for line in lines(DONE, FAILED, long, width=width, below=None))


def test_a_failure_is_red_and_a_success_is_green(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    done, failed = lines(DONE, FAILED, color="always")
    assert "\x1b[38;5;28m✓" in done
    assert "\x1b[31m✗" in failed
    assert "\x1b[31mCardExpired" in failed


def test_a_program_reads_an_object_a_line_with_the_same_keys_always(stream: io.StringIO) -> None:
    OutcomeRows().write([DONE, replace(FAILED, at=None)], below=None)
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert tuple(first) == tuple(second) == COLUMNS
    assert (first["outcome"], first["took_ms"], first["at"]) == ("done", 12.4, "2026-11-23T17:44:02.131Z")
    assert (second["error"], second["at"]) == ("CardExpired: card of c_204", None)


@given(st.text(max_size=30))
def test_no_control_character_is_printed(text: str) -> None:
    hostile = replace(FAILED, event_id=text, event_type=text, tenant_id=text, handler=text, error=text, reason=text)
    stream = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(terminal, "stdout", lambda: stream)
        OutcomeLines(now=lambda: NOW).write([hostile, replace(hostile, error=None)], below=None)
    out = stream.getvalue()
    assert out.count("\n") == 2
    assert not any(terminal.safe(line) != line for line in out.split("\n"))
