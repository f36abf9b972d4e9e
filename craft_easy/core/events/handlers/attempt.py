"""Running the handlers of one event: an attempt and how it ended."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import time
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Final, NoReturn

from craft_easy.core.events.handlers.background import in_thread
from craft_easy.core.events.handlers.context import CurrentDelivery, Scope, enter, open_scope
from craft_easy.core.events.handlers.registry import Handler
from craft_easy.core.events.model.event import DomainEvent
from craft_easy.core.events.model.retry import DEFAULT_RETRY, Discard, ErrorText, Outcome, OutcomeKind, Retry, cut

log: Final = logging.getLogger("craft_easy.core.events")

Call = Callable[[DomainEvent], Awaitable[object]]


async def attempt(
    handler: Handler,
    current: CurrentDelivery,
    *,
    timeout: float | None = None,  # noqa: ASYNC109 - it is the handler's, and ends as an outcome
) -> Outcome:
    """Run one attempt of a delivery and return how it ended.

    An error is logged with `handler_id`, `event_id` and `event_type` as extras.

    Args:
        current: the delivery as the handler sees it; it is closed when the attempt has ended.
        timeout: seconds that it may take, unless the handler has a limit of its own.

    Raises:
        CancelledError: this task was cancelled meanwhile; one that only the handler raises is an error of its own.
        KeyboardInterrupt: the process is to end.
    """
    outer, scope, failure = open_scope(), Scope(), None
    scope.event, scope.view, scope.handler = current.event, current, handler
    enter(scope)
    cancelled_before = _cancellations()
    began = time.perf_counter()
    try:
        await call_of(handler, timeout)(current.event)
    except BaseException as error:  # noqa: BLE001 - even sys.exit() fails this handler alone
        failure = error
    took_ms = (time.perf_counter() - began) * 1000
    scope.end()
    enter(outer)
    try:
        if failure is not None and is_broken_off(failure, cancelled_before):
            raise failure
        return _outcome(handler, current, took_ms, failure)
    finally:
        failure = None  # its traceback holds this frame


def _outcome(handler: Handler, current: CurrentDelivery, took_ms: float, failure: BaseException | None) -> Outcome:
    if failure is None:
        return Outcome(
            handler.id, OutcomeKind.SUCCEEDED, current.attempt, took_ms, retry=handler.retry or DEFAULT_RETRY
        )
    outcome = functools.partial(
        Outcome, handler.id, attempt=current.attempt, took_ms=took_ms, retry=handler.retry or DEFAULT_RETRY
    )
    match failure:
        case Retry():
            return outcome(OutcomeKind.RETRY, after=failure.after)
        case Discard():
            return outcome(OutcomeKind.DISCARDED, reason=cut(str(failure.reason)))
        case _:
            log_failure(handler, current.event, failure)
            return outcome(OutcomeKind.FAILED, error=ErrorText.of(failure))


def is_broken_off(failure: BaseException, cancelled_before: int = 0) -> bool:
    """Tell whether what a handler's await raised came from outside the handler: to be raised on, and no failure.

    That is this task's cancellation, a `KeyboardInterrupt`, and the closing of the coroutine that awaits: the inner
    coroutines are closed first and in silence, so that `GeneratorExit` shows up in the outer frame and in no other.
    """
    if isinstance(failure, asyncio.CancelledError):
        return _cancellations() > cancelled_before
    if isinstance(failure, GeneratorExit):
        return failure.__traceback__ is None or failure.__traceback__.tb_next is None
    return isinstance(failure, KeyboardInterrupt)


def _cancellations() -> int:
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def log_failure(handler: Handler, event: DomainEvent, failure: BaseException) -> None:
    """Log what a handler raised."""
    log.error(
        "handler %r failed on %r %s",
        handler.id,
        event.event_type,
        event.event_id,
        exc_info=failure,
        extra=extra_of(handler, event),
    )


def settle(handler: Handler, event: DomainEvent, failure: BaseException) -> None:
    """Say how a delivery ended that no store keeps, and raise on what broke it off."""
    if is_broken_off(failure):
        raise failure
    match failure:
        case Retry():
            text = "handler %r asks for another attempt at %r %s, which only a store can give: configure_store()"
            log.warning(text, handler.id, event.event_type, event.event_id, extra=extra_of(handler, event))
        case Discard(reason=reason):
            text = "handler %r discarded %r %s: %s"
            log.info(text, handler.id, event.event_type, event.event_id, reason, extra=extra_of(handler, event))
        case _:
            log_failure(handler, event, failure)


def extra_of(handler: Handler, event: DomainEvent) -> dict[str, str]:
    """Return what a log record about a delivery tells beside its text."""
    return {"handler_id": handler.id, "event_id": event.event_id, "event_type": event.event_type}


# How a handler is called


def call_of(handler: Handler, timeout: float | None = None) -> Call:
    """Return what runs a handler when it is called with an event and awaited.

    A plain handler runs inline in the foreground and in a thread in the background; what it returns is awaited too if
    it can be. Whatever a handler does not use is not in its call.
    """
    limit = handler.timeout if handler.timeout is not None else timeout
    call: Call
    if handler.is_async:
        call = handler.function
    elif handler.background:
        call = functools.partial(_threaded, handler.function)
    else:
        call = functools.partial(_inline, handler, limit)
    return call if limit is None else functools.partial(_limited, handler, call, limit)


async def _inline(handler: Handler, limit: float | None, event: DomainEvent) -> None:
    began = time.perf_counter()
    result = handler.function(event)
    took = time.perf_counter() - began
    if limit is not None and took > limit:
        text = "handler %r blocked its event loop for %.3g s, past its limit of %g s; background=True gives it a thread"
        log.warning(text, handler.id, took, limit, extra=extra_of(handler, event))
    if inspect.isawaitable(result):
        await result


async def _threaded(function: Callable[..., Any], event: DomainEvent) -> None:
    result = await in_thread(function, event)
    if inspect.isawaitable(result):
        await result


async def _limited(handler: Handler, call: Call, limit: float, event: DomainEvent) -> None:
    """Run a call under a limit; no clock is set before it waits for something, since nothing could break it off."""
    began = time.monotonic()
    steps = call(event).__await__()
    try:
        first = next(steps)
    except StopIteration:
        return
    await _rest_of(handler, limit, event, _Rest(steps, first), limit - (time.monotonic() - began))


class _Rest:
    """What is left of an awaitable that was begun, as PEP 380 has it for `yield from`."""

    __slots__ = ("_first", "_steps")

    def __init__(self, steps: Generator[Any, Any, object], first: object) -> None:
        self._steps = steps
        self._first = first

    def __await__(self) -> Generator[Any, Any, object]:
        steps, value = self._steps, self._first
        try:
            while True:
                try:
                    sent = yield value
                except GeneratorExit:
                    steps.close()
                    raise
                except BaseException as error:  # noqa: BLE001 - it is the awaitable's
                    value = steps.throw(error)
                else:
                    value = steps.send(sent)
        except StopIteration as stop:
            return stop.value


async def _rest_of(handler: Handler, limit: float, event: DomainEvent, rest: _Rest, seconds: float) -> None:
    failure = None
    scope = asyncio.timeout(seconds)
    try:
        async with scope:
            await rest
    except (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt):
        raise
    except BaseException as error:  # noqa: BLE001 - even sys.exit() fails this handler alone
        failure = error
    try:
        if scope.expired():
            _raise_late(handler, limit, event, failure)
        if failure is not None:
            raise failure
    finally:
        failure = None  # its traceback holds this frame


def _raise_late(handler: Handler, limit: float, event: DomainEvent, failure: BaseException | None) -> NoReturn:
    if not isinstance(failure, TimeoutError):
        text = "handler %r went on after it was cancelled at its limit of %g s"
        log.warning(text, handler.id, limit, extra=extra_of(handler, event))
    raise TimeoutError(f"ran past its limit of {limit:g} s") from None
