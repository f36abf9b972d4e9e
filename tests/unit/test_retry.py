import json
import re
from datetime import timedelta

import pytest

from craft_easy.core.events.model.retry import DEFAULT_RETRY, MAX_ERROR_TEXT, ErrorText, RetryPolicy, spread


def test_twenty_attempts_take_about_two_days_and_eleven_hours() -> None:
    total = sum((DEFAULT_RETRY.wait(attempt) for attempt in range(1, DEFAULT_RETRY.max_attempts)), timedelta())
    assert timedelta(days=2, hours=10) < total < timedelta(days=2, hours=12)


def test_the_wait_grows_with_the_fourth_power_and_stops_at_six_hours() -> None:
    assert [DEFAULT_RETRY.wait(attempt).total_seconds() for attempt in (1, 2, 3)] == [16, 31, 96]
    assert DEFAULT_RETRY.wait(1000) == timedelta(hours=6)


def test_a_constant_delay_varies_only_by_its_jitter() -> None:
    policy = RetryPolicy(max_attempts=5, delay=10)
    assert policy.wait(1, 0.0) == timedelta(seconds=9)
    assert policy.wait(4, 0.5) == timedelta(seconds=10)
    assert policy.wait(4, 1.0) == timedelta(seconds=11)


@pytest.mark.parametrize("wrong", [{"max_attempts": 0}, {"delay": -1}, {"max_delay": -1}, {"jitter": 2}])
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        RetryPolicy(**wrong)  # type: ignore[arg-type]  # one value at a time, of either type


def test_a_policy_is_printed_in_words() -> None:
    assert str(DEFAULT_RETRY) == "default"
    assert str(RetryPolicy(max_attempts=5, delay=10)) == "5 × 10 s"
    assert str(RetryPolicy(max_attempts=3)) == "3 × growing"


def test_the_spread_differs_between_events_and_attempts_and_is_repeatable() -> None:
    values = {spread(f"event-{number}", attempt) for number in range(50) for attempt in range(4)}
    assert len(values) == 200
    assert all(0 <= value < 1 for value in values)
    assert spread("a", 1) == spread("a", 1)


def test_an_exception_whose_text_cannot_be_read_is_still_described() -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    described = ErrorText.of(MuteError())
    assert described.type.endswith("MuteError")
    assert described.message == "(its text could not be read: RuntimeError)"


def test_a_long_error_text_is_cut() -> None:
    described = ErrorText.of(ValueError("x" * 50_000))
    assert len(described.message) == MAX_ERROR_TEXT
    assert described.message.endswith("…")


def test_a_lone_surrogate_in_an_error_text_is_escaped() -> None:
    described = ErrorText.of(ValueError("bad \udc80 byte"))
    assert described.message == "bad \\udc80 byte"
    assert len(ErrorText.of(ValueError("\udc80" * 3000)).message) == MAX_ERROR_TEXT


def test_an_error_names_the_line_of_the_user_s_code_that_raised_it() -> None:
    def fail() -> None:
        int("x")
        json.loads("{")

    try:
        fail()
    except ValueError as error:
        text = ErrorText.of(error)
    assert text.where is not None
    assert re.fullmatch(r"tests/unit/test_retry\.py:\d+ in fail", text.where)
    assert text.frames[-1] == text.where


def test_an_error_of_a_library_names_the_users_frame() -> None:
    try:
        json.loads("{")
    except ValueError as error:
        text = ErrorText.of(error)
    assert text.where is not None
    assert text.where.startswith("tests/unit/test_retry.py:")
    assert text.frames[-1].startswith("json/decoder.py:")


def test_a_group_is_described_by_its_leaves() -> None:
    group = ExceptionGroup("unhandled errors in a TaskGroup", [KeyError("a"), ExceptionGroup("", [ValueError("b")])])
    text = ErrorText.of(group)

    assert (text.type, text.message) == ("KeyError, ValueError", "'a'; b")


def test_an_interrupt_while_the_text_of_an_error_is_read_is_an_interrupt() -> None:
    class HaltingError(Exception):
        def __str__(self) -> str:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ErrorText.of(HaltingError())
