"""How handlers share the slots of a pool."""

from __future__ import annotations

import pytest

from craft_easy.core.events.engine.shares import FAILURES, SLOW_S, Shares
from craft_easy.core.events.model.retry import Outcome, OutcomeKind


def begun(shares: Shares, handler_id: str, size: int, taken: int = 0) -> int:
    """Begin deliveries of a handler for as long as it may, and return their number."""
    number = 0
    while taken + number < size and shares.may_begin(handler_id, size - taken - number):
        shares.begin(handler_id)
        number += 1
    return number


def ended(shares: Shares, handler_id: str, kind: OutcomeKind, *, times: int = 1, took_s: float = 0.0) -> None:
    for _ in range(times):
        shares.begin(handler_id)
        shares.end(Outcome(handler_id, kind, 1, took_ms=took_s * 1000))


@pytest.mark.parametrize(("size", "shared"), [(1, [1]), (2, [2]), (10, [7, 2, 1]), (100, [67, 22, 8, 2, 1])])
def test_each_handler_gets_less_of_what_the_ones_before_it_left(size: int, shared: list[int]) -> None:
    shares, taken = Shares(size), 0
    for place, expected in enumerate(shared):
        assert begun(shares, f"h{place}", size, taken) == expected
        taken += expected


@pytest.mark.parametrize(("size", "share"), [(1, 1), (10, 1), (50, 5)])
def test_a_failing_handler_gets_a_tenth_of_the_slots_until_it_succeeds(size: int, share: int) -> None:
    shares = Shares(size)
    ended(shares, "h", OutcomeKind.FAILED, times=FAILURES - 1)
    assert shares.slow() == set()
    ended(shares, "h", OutcomeKind.FAILED)
    assert shares.slow() == {"h"}
    assert begun(shares, "h", size) == share
    shares.end(Outcome("h", OutcomeKind.SUCCEEDED, 1))
    assert shares.slow() == set()


@pytest.mark.parametrize("kind", [OutcomeKind.SUCCEEDED, OutcomeKind.RETRY, OutcomeKind.DISCARDED])
def test_only_failures_in_a_row_make_a_handler_a_failing_one(kind: OutcomeKind) -> None:
    shares = Shares(10)
    for _ in range(5):
        ended(shares, "h", OutcomeKind.FAILED, times=FAILURES - 1)
        ended(shares, "h", kind)
    assert shares.slow() == set()


def test_a_handler_is_slow_by_the_average_of_its_deliveries() -> None:
    shares = Shares(10)
    ended(shares, "h", OutcomeKind.SUCCEEDED, times=20, took_s=2 * SLOW_S)
    assert shares.slow() == {"h"}
    ended(shares, "h", OutcomeKind.SUCCEEDED, times=20)
    assert shares.slow() == set()


def test_a_delivery_that_was_given_back_says_nothing_about_its_handler() -> None:
    shares = Shares(10)
    ended(shares, "h", OutcomeKind.FAILED, times=FAILURES - 1)
    ended(shares, "h", OutcomeKind.GIVEN_BACK, took_s=60)
    assert shares.slow() == set()
    assert begun(shares, "h", 10) == 7


def test_a_handler_that_runs_for_long_is_slow_where_the_pool_runs_it() -> None:
    shares = Shares(10)
    shares.begin("h")
    assert shares.slow({"h", "of a publisher"}) == {"h"}
