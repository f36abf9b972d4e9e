"""Lines of events for people: they fit the width, times are as short as possible, hues stay the same."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from craft_events_cli import terminal
from craft_events_cli.output import event_line
from craft_events_cli.output.cells import cut, width_of
from craft_events_cli.output.event_line import LineWriter
from craft_events_cli.output.payload import payload_parts, short
from craft_events_cli.output.progress import Progress, duration, progress_line

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
EVENT = {
    "_id": 1,
    "event_id": "1",
    "event_type": "payment.completed",
    "timestamp": datetime(2026, 11, 22, 9, 14, 3, 120_000),  # noqa: DTZ001 - records are decoded like this
    "tenant_id": "acme",
    "actor_id": "user_77",
    "payload": {"payment_id": "p_1", "amount": 12.5, "currency": "EUR"},
}
Lines = Callable[..., list[str]]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Lines:
    """Write events, each call of the writer a list, and return the lines."""

    def write(*pages: list[dict[str, Any]], width: int = 120, color: str = "never", is_live: bool = False) -> list[str]:
        stream = io.StringIO()
        monkeypatch.setattr(terminal, "stdout", lambda: stream)
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setattr(terminal._state, "color", terminal.Color(color))
        writer = LineWriter(is_live=is_live, now=lambda: NOW)
        for page in pages:
            writer.write([EVENT | one for one in page])
        return stream.getvalue().splitlines()

    return write


def test_a_line_is_as_the_screens_show_it(lines: Lines) -> None:
    assert lines([{}], width=100) == [
        "11-22 09:14:03.120  payment.completed  acme  user_77  payment_id=p_1 amount=12.5 currency=EUR"
    ]


def test_a_live_line_of_today_shows_the_time_only(lines: Lines) -> None:
    today = EVENT["timestamp"].replace(day=23)  # type: ignore[attr-defined]
    assert lines([{"timestamp": today}], is_live=True)[0].startswith("09:14:03.120  ")
    assert lines([{"timestamp": today}])[0].startswith("11-23 09:14:03.120  ")
    assert lines([{}], [{"timestamp": today}], is_live=True)[1].startswith("09:14:03.120  ")


def test_a_year_that_is_not_this_one_is_shown_and_stays(lines: Lines) -> None:
    past = EVENT["timestamp"].replace(year=2025)  # type: ignore[attr-defined]
    found = lines([{}], [{"timestamp": past}], [{}])
    assert [line[:10] for line in found] == ["11-22 09:1", "2025-11-22", "2026-11-22"]
    assert lines([{"timestamp": past}], width=90)[0].startswith("2025-11-22 09:14:03  ")


def test_columns_grow_with_their_values_and_a_long_cell_shifts_its_own_line_only(lines: Lines) -> None:
    found = lines([{"event_type": "a.b"}], [{"event_type": "a" * 30}], [{"event_type": "a.b"}])
    assert [line.index("acme") for line in found] == [25, 52, 48]


def test_below_80_columns_the_actor_goes(lines: Lines) -> None:
    assert "user_77" in lines([{}], width=80)[0]
    assert "user_77" not in lines([{}], width=79)[0]


def test_a_missing_value_is_a_dash(lines: Lines) -> None:
    assert lines([{"event_type": None, "tenant_id": None, "actor_id": None, "payload": {}}]) == [
        "11-22 09:14:03.120  –  –  –"
    ]


def test_a_tenant_keeps_its_hue_and_colours_add_no_letters(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    first, second, other = lines([{}, {}, {"tenant_id": "globex"}], color="always")
    assert first == second
    hue = first.split("acme")[0].rpartition("\x1b[")[2]
    assert hue != other.split("globex")[0].rpartition("\x1b[")[2]
    assert "\x1b[38;5;31mpayment.completed\x1b[0m" in first


def test_a_terminal_of_few_colours_gets_few(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("COLORTERM", raising=False)
    assert "38;5;" not in lines([{}], color="always")[0]


hostile = st.text(st.characters(), max_size=60) | st.sampled_from(
    ["日本語のテナント" * 3, "\x1b[31m", "é" * 40, "👩‍👩‍👧"]
)


@given(
    event_type=hostile,
    tenant=hostile,
    actor=hostile,
    payload=st.dictionaries(hostile, hostile | st.integers() | st.lists(hostile, max_size=3), max_size=5),
    width=st.integers(1, 200),
)
def test_no_line_is_wider_than_the_terminal_and_none_holds_what_a_terminal_obeys(
    event_type: str, tenant: str, actor: str, payload: dict[str, Any], width: int
) -> None:
    stream = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(terminal, "stdout", lambda: stream)
        patch.setitem(os.environ, "COLUMNS", str(width))
        record = EVENT | {"event_type": event_type, "tenant_id": tenant, "actor_id": actor, "payload": payload}
        LineWriter(now=lambda: NOW).write([record])
    (line,) = stream.getvalue().split("\n")[:-1]
    assert width_of(line) <= max(terminal.MIN_WIDTH, width)
    assert line == terminal.safe(line)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("p_1", "p_1"),
        ("double charge", '"double charge"'),
        ('say "hi"', r'"say \"hi\""'),
        ("", '""'),
        ("12", '"12"'),
        ("true", '"true"'),
        (None, "null"),
        (True, "true"),
        (0, "0"),
        (80.0, "80.0"),
        (b"abc", "<3 bytes>"),
        (NOW, "2026-11-23T12:00:00.000Z"),
        ({}, "{}"),
        ({"a": {"b": {"c": {"d": 1}}}}, "{a={b={c={…}}}}"),
        ([1, "x y", []], '[1 "x y" []]'),
        ("a\x1b\u202e", r"a\x1b\u202e"),
    ],
    ids=str,
)
def test_a_value_is_shortened_to_one_line(value: object, text: str) -> None:
    assert short(value, 3) == text


@pytest.mark.parametrize(
    ("room", "text"),
    [
        (80, 'payment_id=p_1 reason="double charge" a=1 b=2 c=3'),
        (47, 'payment_id=p_1 reason="double charge" … 3 more'),
        (41, 'payment_id=p_1 reason="double c… … 3 more'),
        (31, "payment_id=p_1 … 4 more"),
        (16, "payment_id=p_1 …"),
        (14, "payment_id=… …"),
        (4, "pay…"),
    ],
)
def test_a_payload_shows_as_many_fields_as_fit(room: int, text: str) -> None:
    payload = {"payment_id": "p_1", "reason": "double charge", "a": 1, "b": 2, "c": 3}
    shown = "".join(part.text for part in payload_parts(payload, room))
    assert width_of(shown) <= room
    assert shown == text


def test_wide_letters_are_cut_at_whole_ones() -> None:
    assert cut("日本語", 6) == "日本語"
    assert cut("日本語", 5) == "日本…"
    assert cut("日本語", 4) == "日…"


def test_progress_shows_share_rate_and_time_left() -> None:
    assert progress_line("delivering", 600, 1200, 2.0) == (
        "delivering ━━━━━━━━━━━━━━━╸──────────────  600/1,200   50%   300/s   0:00:02 left"
    )
    assert progress_line("delivering", 600, None, 2.0) == "delivering  600   300/s"
    assert progress_line("delivering", 3, 2, 2.0) == "delivering  3   1.5/s", "more items than the total"
    assert progress_line("delivering", 0, 2, 0.0).endswith("0/2    0%   0.0/s")
    assert len(progress_line("delivering", 600, 1200, 2.0, width=60)) == 60, "the bar is left out"
    assert progress_line("delivering", 600, 1200, 2.0, width=40).startswith("delivering  600/1,200   50%   300/s")
    assert duration(3_725) == "1:02:05"


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_no_bar_runs_into_the_output_of_the_reader_of_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    reading, writing = os.pipe()
    with open(reading), open(writing, "w") as pipe:
        for stream, is_shown in ((pipe, False), (io.StringIO(), True)):
            monkeypatch.setattr(terminal, "stdout", lambda stream=stream: stream)
            assert Progress("delivering").is_shown is is_shown


def brightness(number: int) -> float:
    """Return the relative luminance of one of the 256 colours (WCAG 2.1)."""
    levels = (0, 95, 135, 175, 215, 255)
    cube = number - 16
    shares = [levels[one] / 255 for one in (cube // 36, cube // 6 % 6, cube % 6)]
    linear = [one / 12.92 if one <= 0.03928 else ((one + 0.055) / 1.055) ** 2.4 for one in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("hue", [*event_line.MANY_HUES, *terminal.LEGIBLE.values()])
def test_a_hue_is_legible_on_dark_and_on_light(hue: str) -> None:
    own = brightness(int(hue.split(";")[2])) + 0.05
    assert own / 0.05 >= 3
    assert 1.05 / own >= 3


def test_a_table_of_rich_has_the_same_cyan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLORTERM", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    assert terminal.rich_cyan() == "color(31)"
    monkeypatch.setenv("TERM", "xterm")
    assert terminal.rich_cyan() == "cyan"
