"""How a long run rides out what the log does not answer, or answers with an error."""

from __future__ import annotations

import asyncio

import pytest

from craft_easy.core.events.engine import outage
from craft_easy.core.events.engine.outage import Outage
from craft_easy.core.events.engine.report import ConnectionLost, ConnectionResumed
from craft_easy.core.events.errors import StoreError, StoreLoginRefused, StoreUnavailable


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of the pauses, which end at once."""
    seconds: list[float] = []

    async def sleep(pause: float) -> None:
        seconds.append(pause)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return seconds


class Step:
    """Raises some errors, one for each call, and then answers."""

    def __init__(self, *errors: StoreError) -> None:
        self._errors = list(errors)

    async def __call__(self) -> str:
        if self._errors:
            raise self._errors.pop(0)
        return "answer"


async def test_an_outage_is_reported_once_and_its_end_too() -> None:
    notices: list[ConnectionLost | ConnectionResumed] = []
    step = Step(StoreUnavailable("away"), StoreUnavailable("still away"))
    assert await Outage(notices.append, limit=60).ride_out(step) == "answer"
    assert [type(notice) for notice in notices] == [ConnectionLost, ConnectionResumed]


async def test_a_run_that_has_an_end_gives_up_after_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 30.0, 61.0])
    monkeypatch.setattr(outage, "steady", lambda: next(times))
    with pytest.raises(StoreUnavailable, match="third"):
        await Outage(lambda _: None, limit=60).ride_out(Step(*map(StoreUnavailable, ("first", "second", "third"))))


async def test_only_an_outage_without_any_answer_in_between_reaches_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 50.0, 100.0, 150.0])
    monkeypatch.setattr(outage, "steady", lambda: next(times))
    run = Outage(lambda _: None, limit=60)
    fail = Step(StoreUnavailable("a failover"), StoreUnavailable("another one, half a listing later"))

    async def answers_in_between() -> str:
        run.answered()
        return await fail()

    assert await run.ride_out(answers_in_between) == "answer"


async def test_another_error_of_the_log_ends_a_run_unless_it_survives_it(pauses: list[float]) -> None:
    with pytest.raises(StoreError, match="killed"):
        await Outage(lambda _: None, limit=None).ride_out(Step(StoreError("killed")))
    errors = [StoreError("killed")] * 7
    assert await Outage(lambda _: None, limit=None, survives=True).ride_out(Step(*errors)) == "answer"
    assert pauses == [1, 2, 4, 8, 16, 30, 30]


async def test_a_refused_login_ends_every_run() -> None:
    with pytest.raises(StoreLoginRefused):
        await Outage(lambda _: None, limit=None, survives=True).ride_out(Step(StoreLoginRefused("no")))
