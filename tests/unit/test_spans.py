"""Times and durations for people."""

from datetime import UTC, datetime

import pytest

from craft_easy.core.events import clock
from craft_easy.core.events.model.times import Window
from craft_events_cli.output.spans import (
    duration_text,
    elapsed_text,
    minutes,
    shown_in,
    stamp,
    time_of_day,
    window_text,
)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 s"),
        (0.9, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3_599, "59 min 59 s"),
        (3_600, "1 h"),
        (3_605, "1 h"),
        (11_534, "3 h 12 min"),
        (86_460, "1 d"),
        (212_400, "2 d 11 h"),
        (400 * 86_400, "400 d"),
    ],
)
def test_a_duration_is_printed_in_its_two_largest_units(seconds: float, expected: str) -> None:
    assert duration_text(seconds) == expected


def test_a_run_of_ten_minutes_is_not_printed_in_seconds() -> None:
    assert [elapsed_text(seconds) for seconds in (0, 31.24, 598.3)] == ["0.0 s", "31.2 s", "9 min 58 s"]


def test_another_year_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: datetime(2026, 11, 26, tzinfo=UTC))
    this = datetime(2026, 1, 31, 9, 5, 59, tzinfo=UTC)
    assert minutes([this, None]) == ["01-31 09:05", "–"]
    assert minutes([this, this.replace(year=2025)]) == ["2026-01-31 09:05", "2025-01-31 09:05"]
    assert minutes([]) == []


def test_a_window_shows_both_ends_and_its_zone_once() -> None:
    since = datetime(2026, 11, 21, 17, 43, 45, 500_000, tzinfo=UTC)
    assert window_text(Window(since)) == "2026-11-21 17:43:45.500 … now UTC"
    assert window_text(Window(None, datetime(26, 1, 2, tzinfo=UTC))) == "the beginning … 0026-01-02 00:00:00 UTC"
    with shown_in(clock.time_zone("Asia/Kolkata")):
        assert window_text(Window(since)) == "2026-11-21 23:13:45.500 … now Asia/Kolkata"


def test_a_time_of_today_is_of_the_day_in_the_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: datetime(2026, 11, 26, 22, tzinfo=UTC))
    at = datetime(2026, 11, 26, 23, 30, tzinfo=UTC)
    assert time_of_day(at) == "23:30:00"
    with shown_in(clock.time_zone("Europe/Oslo")):
        assert time_of_day(at) == "2026-11-27 00:30:00"


@pytest.mark.parametrize("moment", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
@pytest.mark.parametrize("zone", ["UTC", "local", "America/New_York", "Asia/Tokyo"])
def test_the_ends_of_the_calendar_are_shown_in_any_zone(moment: datetime, zone: str) -> None:
    with shown_in(clock.time_zone(zone)):
        assert len(stamp(moment)) >= len("0001-01-01 00:00:00 UTC")
