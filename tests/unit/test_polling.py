"""The poller of a view: never two questions at once, a pace that follows the cost, outages as states."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from craft_easy.core.events.errors import StoreUnavailable
from craft_events_cli.top import polling
from craft_events_cli.top.polling import Answer, PolledQuestion, Poller


class Log:
    """Answers questions, each in a time of its own, on a clock that a test sets."""

    def __init__(self, *, took: float = 0.0) -> None:
        self.now, self.took, self.asked = 100.0, took, 0
        self.error: Exception | None = None
        self.shown: list[Answer[int]] = []
        self.during: Callable[[], Any] = lambda: None

    async def ask(self) -> int:
        self.asked += 1
        self.now += self.took
        self.during()
        if self.error is not None:
            raise self.error
        return self.asked

    def question(self, **options: Any) -> PolledQuestion[int]:
        return PolledQuestion(self.ask, self.shown.append, steady=lambda: self.now, **options)


@pytest.mark.parametrize(("took", "every"), [(0.0, 1.0), (0.05, 1.0), (0.5, 5.0), (3.0, 30.0), (20.0, 60.0), (70, 140)])
async def test_a_question_that_costs_more_is_asked_less_often(took: float, every: float) -> None:
    log = Log(took=took)
    question = log.question()
    await question.put()
    await question.put()
    assert log.shown[-1].every == every
    log.now += every - took - 0.01
    assert not question.is_due
    log.now += 0.02
    assert question.is_due


async def test_the_first_answer_which_counts_everything_is_soon_followed_by_another() -> None:
    log = Log(took=3.0)
    await log.question().put()
    assert log.shown[-1].every == 6.0


async def test_an_outage_keeps_the_last_value_with_its_age_and_the_reason_and_ends_by_itself() -> None:
    log = Log()
    question = log.question()
    poller = Poller([question])
    await question.put()
    log.error = StoreUnavailable("gone")
    log.now += 12
    await question.put()
    answer = log.shown[-1]
    assert (answer.value, answer.fault, answer.age_s(log.now)) == (1, "gone", 12.0)
    assert poller.outage is answer
    log.error = None
    await question.put()
    assert poller.outage is None
    assert log.shown[-1].value == 3


async def test_a_question_without_an_answer_is_an_outage_after_its_deadline() -> None:
    shown: list[Answer[None]] = []

    async def never() -> None:
        await asyncio.Event().wait()

    await PolledQuestion(never, shown.append, deadline=0.01).put()
    assert shown[0].fault == "no answer within 0.01 s"
    assert shown[0].age_s(1.0) is None


async def test_any_other_error_is_not_an_outage() -> None:
    log = Log()
    log.error = KeyError("a bug")
    with pytest.raises(KeyError):
        await log.question().put()


async def test_a_question_that_is_hurried_while_it_is_asked_is_asked_again() -> None:
    log = Log(took=2.0)
    question = log.question()
    log.during = Poller([question]).hurry
    await question.put()
    assert question.is_due


async def test_a_poller_asks_its_questions_in_turn_and_never_two_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "ROUND", 0.001)
    running = most = number = 0

    def asking() -> Callable[[], Awaitable[None]]:
        async def ask() -> None:
            nonlocal running, most, number
            running, number = running + 1, number + 1
            most = max(most, running)
            await asyncio.sleep(0.001)
            running -= 1

        return ask

    poller = Poller([PolledQuestion(asking(), lambda _: poller.hurry()) for _ in range(3)])
    task = asyncio.create_task(poller.run())
    await asyncio.sleep(0.1)
    task.cancel()
    assert number > 3
    assert most == 1
