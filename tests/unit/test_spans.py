"""Times and durations for people."""

from datetime import UTC, datetime

import pytest

from craft_easy.core.events import clock
from craft_events_cli.output.spans import duration_text, minutes


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


def test_another_year_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: datetime(2026, 11, 26, tzinfo=UTC))
    this = datetime(2026, 1, 31, 9, 5, 59, tzinfo=UTC)
    assert minutes([this, None]) == ["01-31 09:05", "–"]
    assert minutes([this, this.replace(year=2025)]) == ["2026-01-31 09:05", "2025-01-31 09:05"]
    assert minutes([]) == []
