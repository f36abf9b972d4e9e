"""Times and windows of time as a person types them, in that person's time zone."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from craft_easy.core.events.clock import UTC_ZONE, TimeZone, time_zone
from craft_easy.core.events.model.times import Window, parse_moment, window

NOW = datetime(2026, 11, 23, 17, 43, 45, 500_000, tzinfo=UTC)
OSLO = time_zone("Europe/Oslo")


def parse_time(text: str, *, now: datetime, zone: TimeZone = UTC_ZONE) -> datetime:
    return parse_moment(text).at(now, zone)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2h", 7200),
        ("1d12h", 36 * 3600),
        ("90s", 90),
        ("45m", 45 * 60),
        ("1w", 7 * 86400),
        ("1y", 365 * 86400),
        ("1y1w", 372 * 86400),
        ("1w2d3h4m5s", 7 * 86400 + 2 * 86400 + 3 * 3600 + 4 * 60 + 5),
        ("0s", 0),
    ],
)
def test_a_relative_time_is_that_long_before_the_databases_now(text: str, seconds: int) -> None:
    assert parse_time(text, now=NOW) == NOW - timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T10:00", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ("2026-01-31 10:00:30", datetime(2026, 1, 31, 10, 0, 30, tzinfo=UTC)),
        ("2026-01-31T10:00:00Z", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ("2026-01-31T10:00:00.123Z", datetime(2026, 1, 31, 10, 0, 0, 123_000, tzinfo=UTC)),
        ("2026-01-31T10:00:00.1234567Z", datetime(2026, 1, 31, 10, 0, 0, 123_456, tzinfo=UTC)),
        ("2026-01-31T10:00:00+02:00", datetime(2026, 1, 31, 8, tzinfo=UTC)),
        ("2026-01-31T10:00:00-0530", datetime(2026, 1, 31, 15, 30, tzinfo=UTC)),
        ("2026-01-31T10:00:00+01", datetime(2026, 1, 31, 9, tzinfo=UTC)),
        ("0", datetime(1970, 1, 1, tzinfo=UTC)),
        ("1769853600", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ("1769853600.25", datetime(2026, 1, 31, 10, 0, 0, 250_000, tzinfo=UTC)),
        ("-1.5", datetime(1969, 12, 31, 23, 59, 58, 500_000, tzinfo=UTC)),
    ],
)
def test_an_absolute_time_is_utc_or_in_its_own_zone(text: str, expected: datetime) -> None:
    moment = parse_time(text, now=NOW)
    assert moment == expected
    assert moment.tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("today", datetime(2026, 11, 23, tzinfo=UTC)),
        ("yesterday", datetime(2026, 11, 22, tzinfo=UTC)),
        ("14:00", datetime(2026, 11, 23, 14, tzinfo=UTC)),
        ("9:05", datetime(2026, 11, 23, 9, 5, tzinfo=UTC)),
        ("14:00:30", datetime(2026, 11, 23, 14, 0, 30, tzinfo=UTC)),
        ("yesterday 23:30", datetime(2026, 11, 22, 23, 30, tzinfo=UTC)),
        ("todayT06:00", datetime(2026, 11, 23, 6, tzinfo=UTC)),
    ],
)
def test_a_day_and_a_time_of_day_are_those_of_the_databases_now(text: str, expected: datetime) -> None:
    assert parse_time(text, now=NOW) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("today", datetime(2026, 11, 23, 23, tzinfo=UTC)),  # 00:30 of the 24th in Oslo
        ("yesterday", datetime(2026, 11, 22, 23, tzinfo=UTC)),
        ("00:15", datetime(2026, 11, 23, 23, 15, tzinfo=UTC)),
        ("2026-07-01", datetime(2026, 6, 30, 22, tzinfo=UTC)),
        ("2026-07-01T10:00", datetime(2026, 7, 1, 8, tzinfo=UTC)),
        ("2026-10-25T02:30", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),  # it came twice
        ("2026-07-01T10:00Z", datetime(2026, 7, 1, 10, tzinfo=UTC)),
        ("0", datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_time_that_names_no_zone_is_of_the_zone_that_is_shown(text: str, expected: datetime) -> None:
    moment = parse_time(text, now=datetime(2026, 11, 23, 23, 30, tzinfo=UTC), zone=OSLO)
    assert moment == expected
    assert moment.tzinfo is UTC


def test_a_window_does_not_begin_at_a_time_of_day_that_is_still_to_come() -> None:
    with pytest.raises(ValueError, match=r'"23:00" is still to come\. Try "yesterday 23:00"'):
        window(parse_moment("23:00"), None, now=NOW)
    assert window(parse_moment("17:00"), parse_moment("23:00"), now=NOW).until is not None


@pytest.mark.parametrize("zone", [time_zone("America/New_York"), time_zone("Asia/Tokyo"), time_zone("local")])
@pytest.mark.parametrize("text", ["0001-01-01", "9999-12-31T23:59:59"])
def test_the_ends_of_the_calendar_are_read_or_refused_in_any_zone(text: str, zone: TimeZone) -> None:
    with suppress(ValueError):
        assert parse_time(text, now=NOW, zone=zone).tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "Yesterday", "todayish", "today ", "today\n", "24:00", "14:60", "14:00:60",
        "2h ", "2 h", "h", "2H", "12h1d", "1h1h", "1.5h", "-2h", "+2h", "2h\n",
        "2026-1-31", "2026-02-30", "2026-13-01", "2026-01-31T25:00", "2026-01-31T24:00:00", "2026-01-31T10",
        "2026-01-31T10:00:60Z", "2026-01-31T10:00:00+24:00", "2026-01-31T10:00:00+10:75", "2026-01-31Z",
        "٣h", "٢٠٢٦-01-31", "１２", "1e9", "1_000", "0x10", "nan", "{}", "$now",
    ],
)  # fmt: skip
def test_an_invalid_time_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a valid time\. Try 2h, yesterday, 14:00 or 2026-01-31T10:00:00Z$"):
        parse_moment(text)


@pytest.mark.parametrize(
    "text",
    [
        "99999999999w",
        "9" * 30,
        "-" + "9" * 15,
        "1769853600000",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
    ],
)
def test_a_year_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is outside the years 1 to 9999"):
        parse_moment(text)


def test_milliseconds_in_place_of_seconds_are_named() -> None:
    with pytest.raises(ValueError, match="epoch times are in seconds"):
        parse_moment("1769853600000")


def test_a_relative_time_before_the_year_1_is_refused_once_now_is_known() -> None:
    with pytest.raises(ValueError, match="is before the year 1"):
        parse_time("150000w", now=NOW)


def test_digits_without_end_are_refused_in_one_short_line() -> None:
    with pytest.raises(ValueError, match="Try 2h") as caught:
        parse_moment("9" * 10_000)
    assert len(str(caught.value)) < 200


def test_a_window_is_resolved_against_one_now() -> None:
    resolved = window(parse_moment("2h"), parse_moment("1h"), now=NOW)
    assert resolved == Window(NOW - timedelta(hours=2), NOW - timedelta(hours=1))


@pytest.mark.parametrize(("since", "until"), [("1h", "2h"), ("1h", "1h"), ("2026-01-02", "2026-01-01"), ("0s", "1s")])
def test_an_empty_window_is_refused(since: str, until: str) -> None:
    with pytest.raises(ValueError, match=f'the window is empty: "{since}" is not before "{until}"'):
        window(parse_moment(since), parse_moment(until), now=NOW)


@given(st.text())
def test_any_text_is_a_moment_or_a_plain_error(text: str) -> None:
    try:
        moment = parse_moment(text)
    except ValueError:
        return
    assert [moment.absolute, moment.ago, moment.local, moment.time_of_day].count(None) == 3


@given(st.datetimes(timezones=st.just(UTC)))
def test_the_output_of_isoformat_can_be_read(moment: datetime) -> None:
    assert parse_time(moment.isoformat(), now=NOW) == moment
