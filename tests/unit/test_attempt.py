import asyncio
import logging
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from craft_easy.core.events.engine.runner import DueDelivery
from craft_easy.core.events.handlers.attempt import attempt
from craft_easy.core.events.handlers.context import CurrentDelivery, current_delivery, open_delivery
from craft_easy.core.events.handlers.registry import Handler, Registry
from craft_easy.core.events.model.retry import Discard, Outcome, OutcomeKind, Retry, RetryPolicy
from craft_easy.core.events.types import DomainEvent
from tests.support.conditions import becomes

EVENT = DomainEvent(event_type="payment.completed")


def handler(function: Callable[..., Any], **options: Any) -> Handler:
    return Registry().subscribe("*", function, id="shop:h", **options).handler


async def run(function: Callable[..., Any], *, limit: float | None = None, number: int = 1, **options: Any) -> Outcome:
    current = CurrentDelivery(EVENT, "shop:h", number)
    outcome = await attempt(handler(function, **options), current, limit=limit)
    assert not current.is_open
    assert open_delivery() is None
    return outcome


async def test_an_attempt_that_returns_has_succeeded() -> None:
    async def works(event: DomainEvent) -> None:
        assert event is EVENT

    outcome = await run(works, number=3, retry=RetryPolicy(max_attempts=5))

    assert (outcome.handler_id, outcome.kind, outcome.attempt) == ("shop:h", OutcomeKind.SUCCEEDED, 3)
    assert outcome.retry.max_attempts == 5
    assert outcome.took_ms >= 0
    assert outcome.error is None


GROUP = BaseExceptionGroup("two", [SystemExit(3), ValueError("no")])


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), asyncio.CancelledError(), GeneratorExit(), GROUP])
async def test_any_exception_of_a_handler_fails_that_attempt_only(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(event: DomainEvent) -> None:
        raise error

    outcome = await run(fails)

    assert outcome.kind is OutcomeKind.FAILED
    assert outcome.error is not None
    if error is not GROUP:
        assert outcome.error.type == type(error).__name__
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("craft_easy.core.events", logging.ERROR)
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    said = (record.handler_id, record.event_id, record.event_type)  # type: ignore[attr-defined]
    assert said == ("shop:h", EVENT.event_id, "payment.completed")


async def test_the_cancellation_of_a_task_that_a_handler_awaits_is_its_failure() -> None:
    async def awaits_a_cancelled_task(event: DomainEvent) -> None:
        task = asyncio.create_task(asyncio.sleep(60))
        task.cancel()
        await task

    assert (await run(awaits_a_cancelled_task)).kind is OutcomeKind.FAILED


async def test_the_cancellation_of_this_task_is_raised_on() -> None:
    begun, current = asyncio.Event(), CurrentDelivery(EVENT, "shop:h")

    async def waits(event: DomainEvent) -> None:
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(attempt(handler(waits), current, limit=None))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not current.is_open


async def test_a_task_cancelled_before_still_recognises_a_cancellation_by_the_handler() -> None:
    async def fails(event: DomainEvent) -> None:
        raise asyncio.CancelledError

    async def publishes_when_cancelled() -> Outcome:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return await run(fails)
        raise AssertionError

    task = asyncio.create_task(publishes_when_cancelled())
    await asyncio.sleep(0)
    task.cancel()
    assert (await task).kind is OutcomeKind.FAILED


async def test_a_keyboard_interrupt_is_raised_on() -> None:
    async def interrupted(event: DomainEvent) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await attempt(handler(interrupted), CurrentDelivery(EVENT, "shop:h"), limit=None)


async def test_the_closing_of_the_coroutine_is_raised_on(caplog: pytest.LogCaptureFixture) -> None:
    ended = []

    async def waits(event: DomainEvent) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(1)

    coroutine = attempt(handler(waits), CurrentDelivery(EVENT, "shop:h"), limit=60)
    coroutine.send(None)
    coroutine.close()
    assert ended == [1]
    assert caplog.records == []


async def test_retry_and_discard_are_signals_and_not_logged_as_errors(caplog: pytest.LogCaptureFixture) -> None:
    async def retries(event: DomainEvent) -> None:
        raise Retry(after=90)

    async def discards(event: DomainEvent) -> None:
        raise Discard("the account is gone")

    retried, discarded = await run(retries), await run(discards)

    assert (retried.kind, retried.after) == (OutcomeKind.RETRY, timedelta(seconds=90))
    assert (discarded.kind, discarded.reason) == (OutcomeKind.DISCARDED, "the account is gone")
    assert (retried.error, discarded.error) == (None, None)
    assert caplog.records == []


@pytest.mark.parametrize(
    ("signals", "kind"),
    [
        ([Retry()], OutcomeKind.RETRY),
        ([Discard("gone"), ExceptionGroup("inner", [Retry(after=3)])], OutcomeKind.RETRY),
        ([Discard("gone")], OutcomeKind.DISCARDED),
        ([Discard("gone"), ValueError("no")], OutcomeKind.FAILED),
    ],
)
async def test_a_group_of_signals_alone_is_the_signal(signals: list[Exception], kind: OutcomeKind) -> None:
    async def raises(event: DomainEvent) -> None:
        raise ExceptionGroup("unhandled errors in a TaskGroup", signals)

    assert (await run(raises)).kind is kind


async def test_an_attempt_that_takes_too_long_has_failed() -> None:
    async def hangs(event: DomainEvent) -> None:
        await asyncio.Event().wait()

    outcome = await run(hangs, limit=0.01)

    assert outcome.error is not None
    assert (outcome.kind, outcome.error.type) == (OutcomeKind.FAILED, "TimeoutError")
    assert outcome.error.message == "ran past its limit of 0.01 s"


@pytest.mark.parametrize(("own", "limit"), [(5.0, 5.0), (None, 60.0)])
def test_the_limit_of_a_handler_overrides_that_of_the_run(own: float | None, limit: float) -> None:
    assert DueDelivery(handler(print, timeout=own), "shop:h", default_limit=60.0).limit == limit


async def test_a_handler_that_swallows_its_cancellation_has_failed() -> None:
    async def swallows(event: DomainEvent) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)

    outcome = await run(swallows, limit=0.01)

    assert outcome.error is not None
    assert outcome.error.type == "TimeoutError"
    assert outcome.error.message.endswith("and kept running after it was cancelled")


async def test_an_exception_at_the_cancellation_is_the_cause_of_the_timeout(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def raises(event: DomainEvent) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise OSError("no more space")

    outcome = await run(raises, limit=0.01)

    assert outcome.error is not None
    assert outcome.error.type == "TimeoutError"
    assert "no more space" in caplog.text


async def test_a_time_out_of_the_handlers_own_keeps_its_text() -> None:
    async def times_out(event: DomainEvent) -> None:
        raise TimeoutError("the bank does not answer")

    outcome = await run(times_out, limit=60)

    assert outcome.error is not None
    assert outcome.error.message == "the bank does not answer"


async def test_a_handler_that_returns_within_its_limit_succeeds() -> None:
    async def works(event: DomainEvent) -> None: ...

    assert (await run(works, limit=60)).kind is OutcomeKind.SUCCEEDED


async def test_cancelling_a_handler_with_a_limit_is_not_a_timeout() -> None:
    begun = asyncio.Event()

    async def waits(event: DomainEvent) -> None:
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(attempt(handler(waits), CurrentDelivery(EVENT, "shop:h"), limit=60))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# Plain handlers


async def test_a_plain_handler_runs_inline_in_the_foreground() -> None:
    seen = []
    await run(lambda event: seen.append((threading.get_ident(), current_delivery())))

    ((thread, current),) = seen
    assert thread == threading.get_ident()
    assert current is not None


async def test_a_plain_background_handler_runs_in_a_thread_with_its_delivery() -> None:
    seen = []
    await run(lambda event: seen.append((threading.get_ident(), current_delivery())), background=True)

    ((thread, current),) = seen
    assert thread != threading.get_ident()
    assert current is not None
    assert (current.event, current.is_open) == (EVENT, False)


@pytest.mark.parametrize("background", [False, True])
async def test_an_awaitable_returned_by_a_plain_handler_is_awaited(background: bool) -> None:
    ended = []

    async def work() -> None:
        ended.append(threading.get_ident())

    await run(lambda event: work(), background=background)
    assert ended == [threading.get_ident()]


class RateLimited(Retry):
    def __init__(self, after: Any) -> None:  # as many do: without super().__init__()
        self.after = after


class Gone(Discard):
    def __init__(self) -> None: ...

    @property
    def reason(self) -> str:  # type: ignore[override]  # the user's code
        raise LookupError("no reason")


async def test_a_signal_class_of_the_users_own_may_give_its_wait_in_seconds() -> None:
    async def fails(event: DomainEvent) -> None:
        raise RateLimited(30)

    outcome = await run(fails)

    assert (outcome.kind, outcome.after) == (OutcomeKind.RETRY, timedelta(seconds=30))


@pytest.mark.parametrize(
    ("signal", "error"),
    [(RateLimited("soon"), "TypeError"), (RateLimited(timedelta(-1)), "ValueError"), (Gone(), "LookupError")],
)
async def test_a_signal_that_cannot_be_read_is_a_failed_attempt(signal: Exception, error: str) -> None:
    async def fails(event: DomainEvent) -> None:
        raise signal

    outcome = await run(fails)

    assert outcome.kind is OutcomeKind.FAILED
    assert outcome.error is not None
    assert outcome.error.type == error


def _yields(event: DomainEvent) -> Iterator[None]:
    yield


async def _yields_later(event: DomainEvent) -> AsyncIterator[None]:
    yield


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("generator", [_yields, _yields_later])
async def test_a_handler_whose_decorator_hides_that_it_yields_has_not_succeeded(
    generator: Callable[[DomainEvent], object], background: bool
) -> None:
    def decorated(event: DomainEvent) -> object:
        return generator(event)

    outcome = await run(decorated, background=background)

    assert outcome.kind is OutcomeKind.FAILED
    assert outcome.error is not None
    assert "must not yield" in outcome.error.message


async def test_a_group_nested_deeper_than_the_recursion_limit_fails_its_handler_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    error: Exception = ValueError("the innermost")
    for _ in range(sys.getrecursionlimit() * 2):
        error = ExceptionGroup("retried", [error])

    async def fails(event: DomainEvent) -> None:
        raise error

    outcome = await run(fails)

    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.message) == ("ValueError", "the innermost")
    assert "shop:h" in caplog.messages[-1]


@pytest.mark.parametrize("signal", [None, Discard("gone")])
async def test_a_record_factory_with_our_attributes_does_not_change_the_outcome(
    signal: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    def with_context(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = logging.LogRecord(*args, **kwargs)
        record.event_id = "of the request"
        return record

    async def fails(event: DomainEvent) -> None:
        raise signal or ValueError("no")

    factory = logging.getLogRecordFactory()
    logging.setLogRecordFactory(with_context)
    try:
        outcome = await run(fails)
    finally:
        logging.setLogRecordFactory(factory)

    assert outcome.kind is (OutcomeKind.DISCARDED if signal else OutcomeKind.FAILED)
    if signal is None:
        assert "cannot be logged: KeyError" in caplog.messages[-1]


async def test_a_plain_handler_that_blocks_the_loop_past_its_limit_is_named(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 100, 7))
    monkeypatch.setattr("craft_easy.core.events.handlers.attempt.time.perf_counter", lambda: next(clock))
    outcome = await run(lambda event: None, limit=5)

    assert outcome.kind is OutcomeKind.SUCCEEDED
    assert caplog.messages[0].startswith("handler 'shop:h' blocked its event loop on 'payment.completed'")
    assert "for 7 s, past its limit of 5 s" in caplog.messages[0]


async def test_a_plain_handler_in_a_thread_is_abandoned_at_its_limit() -> None:
    go = threading.Event()
    ended: list[object] = []

    def blocks(event: DomainEvent) -> None:
        go.wait(60)
        ended.append(open_delivery())

    outcome = await run(blocks, background=True, limit=0.01)
    assert outcome.error is not None
    assert outcome.error.type == "TimeoutError"
    go.set()
    await becomes(lambda: ended == [None])


# The current delivery


async def test_an_attempt_inside_a_delivery_gives_it_back_afterwards() -> None:
    seen: list[object] = []

    async def outer(event: DomainEvent) -> None:
        mine = current_delivery()
        await attempt(handler(inner), CurrentDelivery(EVENT, "inner"), limit=None)
        seen.append(current_delivery() is mine)

    async def inner(event: DomainEvent) -> None:
        current = current_delivery()
        assert current is not None
        seen.append(current.handler_id)

    await run(outer)
    assert seen == ["inner", True]
