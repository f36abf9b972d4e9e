"""Windows of time cut into bars."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from craft_easy.core.events.model.figures import MAX_BARS, Bars, cut_into_bars

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)

moments = st.datetimes(timezones=st.just(UTC))


@given(moments, moments, st.integers(1, 200))
def test_bars_cover_the_window_without_gap_or_overlap(one: datetime, other: datetime, most: int) -> None:
    since, until = sorted([one, other])
    if since == until:
        return
    bars = cut_into_bars(since, until, most=most)
    ends = list(bars)
    assert len(ends) == len(bars) <= max(most, 2)
    assert (ends[0][0], ends[-1][1]) == (since, until)
    assert all(before[1] == after[0] for before, after in itertools.pairwise(ends))
    assert all(timedelta(0) < end - begin <= bars.width for begin, end in ends)


def test_bars_begin_at_whole_multiples_of_their_width() -> None:
    bars = Bars(NOON + timedelta(minutes=17), NOON + timedelta(hours=2, minutes=5), HOUR)
    assert list(bars) == [
        (NOON + timedelta(minutes=17), NOON + HOUR),
        (NOON + HOUR, NOON + 2 * HOUR),
        (NOON + 2 * HOUR, NOON + timedelta(hours=2, minutes=5)),
    ]
    assert bars.origin == NOON


@pytest.mark.parametrize(
    ("window", "most", "width"),
    [
        (timedelta(days=1), 48, timedelta(minutes=30)),
        (timedelta(days=1), 47, HOUR),
        (timedelta(minutes=5), 60, timedelta(seconds=5)),
        (timedelta(days=30), 40, timedelta(days=1)),
        (timedelta(seconds=1), 10, timedelta(seconds=1)),
        (timedelta(days=3_650), 20, timedelta(days=365)),
    ],
)
def test_the_width_is_a_round_number(window: timedelta, most: int, width: timedelta) -> None:
    midnight = datetime(2026, 1, 31, tzinfo=UTC)
    assert cut_into_bars(midnight - window, midnight, most=most).width == width


@pytest.mark.parametrize(
    ("window", "width", "said"),
    [
        (timedelta(0), HOUR, "empty"),
        (-HOUR, HOUR, "empty"),
        (HOUR, timedelta(microseconds=1), "millisecond"),
        (HOUR, timedelta(seconds=1), f"3,600 bars of this width, more than the maximum of {MAX_BARS:,}"),
    ],
)
def test_an_invalid_chart_is_refused(window: timedelta, width: timedelta, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Bars(NOON, NOON + window, width)


def test_a_window_that_no_width_cuts_into_so_few_bars_gets_the_widest() -> None:
    widest = cut_into_bars(datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC), most=1).width
    assert cut_into_bars(NOON, NOON + HOUR, most=0).width == widest
