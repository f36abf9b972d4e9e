"""One attempt of a delivery: the call of its handler within a limit, and the outcome."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Final

from craft_easy.core.events.handlers.background import in_thread, thread_for
from craft_easy.core.events.handlers.context import CurrentDelivery, TransactionProvider, enter, leave
from craft_easy.core.events.handlers.registry import Handler
from craft_easy.core.events.model.event import DomainEvent
from craft_easy.core.events.model.retry import (
    DEFAULT_RETRY,
    Discard,
    ErrorText,
    Outcome,
    OutcomeKind,
    Retry,
    as_wait,
    cut,
    signal_of,
)
from craft_easy.core.events.public import ROOT, load

log: Final = logging.getLogger("craft_easy.core.events")


async def attempt(
    handler: Handler,
    current: CurrentDelivery,
    *,
    limit: float | None,
) -> Outcome:
    """Run one attempt of a delivery and return its outcome.

    An error is logged with `handler_id`, `event_id` and `event_type` as extras.

    Args:
        handler: one that needs a thread must have it already; see `thread_for`.
        current: the delivery as the handler sees it; it is over when the attempt has ended.
        limit: seconds that it may take; None for no limit.

    Raises:
        CancelledError: this task was cancelled during the run; a CancelledError of the handler's own is its failure.
        KeyboardInterrupt: the process was interrupted.
    """
    cancelled_before = _cancellations()
    began = time.perf_counter()
    token = enter(current)
    try:
        await call(handler, current, limit)
    except BaseException as error:
        if is_from_outside(error, cancelled_before):
            raise
        return outcome_of(handler, current, error, _milliseconds_since(began))
    finally:
        current.is_open = False
        with suppress(ValueError):  # closed in another context, as the garbage collector does it
            leave(token)
    return Outcome(
        handler.id,
        OutcomeKind.SUCCEEDED,
        current.attempt,
        _milliseconds_since(began),
        retry=handler.retry or DEFAULT_RETRY,
    )


class UntrackedTransactions:
    """Opens the transactions of deliveries that no store keeps; the driver is imported at the first one."""

    def transaction(self, current: CurrentDelivery, client: Any) -> AbstractAsyncContextManager[Any]:
        transactions: TransactionProvider = load(ROOT, "PlainTransactions")()
        return transactions.transaction(current, client)


UNTRACKED: Final = UntrackedTransactions()


class UntrackedDelivery(CurrentDelivery):
    """A delivery that no store keeps; without an `__init__`, which would cost as much as the rest of a publish."""

    __init__ = object.__init__
    transactions = UNTRACKED


async def deliver_untracked(handler: Handler, event: DomainEvent) -> None:
    """Run a delivery that no store keeps."""
    async with thread_for(handler):
        current = CurrentDelivery(event, handler.id, transactions=UNTRACKED)
        outcome = await attempt(handler, current, limit=handler.timeout)
    log_signal(handler, event, outcome)


def settle_untracked(handler: Handler, current: CurrentDelivery, error: BaseException) -> None:
    """Log the error or the signal of a delivery that no store keeps; raise an error from outside the handler."""
    if is_from_outside(error):
        raise error
    log_signal(handler, current.event, outcome_of(handler, current, error))


def is_from_outside(error: BaseException, cancelled_before: int = 0) -> bool:
    """Return whether an exception is not a failure of the handler.

    These are this task's cancellation, a `KeyboardInterrupt`, and the closing of the coroutine that awaits it.

    Args:
        error: what awaiting the handler raised.
        cancelled_before: how often this task had been cancelled when the handler began.
    """
    if isinstance(error, asyncio.CancelledError):
        return _cancellations() > cancelled_before
    if isinstance(error, GeneratorExit):  # one that a handler raises has come through the frames of that handler
        return error.__traceback__ is None or error.__traceback__.tb_next is None
    return isinstance(error, KeyboardInterrupt)


def outcome_of(handler: Handler, current: CurrentDelivery, error: BaseException, took_ms: float = 0.0) -> Outcome:
    """Return the outcome of an attempt that raised; log the error unless it is a signal."""
    retry = handler.retry or DEFAULT_RETRY
    signal = signal_of(error)
    if signal is not None:
        try:
            return _signalled(handler, signal, current.attempt, took_ms)
        except Exception as broken:  # noqa: BLE001 - the class of a signal may be the user's code
            error = broken
    log_delivery(logging.ERROR, "handler %r failed on %r %s", handler, current.event, error=error)
    text_of = ErrorText.of(error)
    return Outcome(handler.id, OutcomeKind.FAILED, current.attempt, took_ms, error=text_of, retry=retry)


def _signalled(handler: Handler, signal: Retry | Discard, attempt: int, took_ms: float) -> Outcome:
    """Return the outcome that a signal asks for; raise an error where a class of the user's own cannot be read."""
    retry = handler.retry or DEFAULT_RETRY
    if isinstance(signal, Retry):
        after = None if signal.after is None else as_wait(signal.after)
        return Outcome(handler.id, OutcomeKind.RETRY, attempt, took_ms, after=after, retry=retry)
    reason = cut(str(signal.reason))
    return Outcome(handler.id, OutcomeKind.DISCARDED, attempt, took_ms, reason=reason, retry=retry)


def log_signal(handler: Handler, event: DomainEvent, outcome: Outcome) -> None:
    """Log a signal without effect: no store keeps the delivery."""
    match outcome.kind:
        case OutcomeKind.RETRY:
            text = "handler %r raised Retry on %r %s, which needs a store: configure_store()"
            log_delivery(logging.WARNING, text, handler, event)
        case OutcomeKind.DISCARDED:
            log_delivery(logging.INFO, "handler %r discarded %r %s: %s", handler, event, outcome.reason)


def log_delivery(
    level: int,
    text: str,
    handler: Handler,
    event: DomainEvent,
    *details: object,
    error: BaseException | None = None,
) -> None:
    """Log a record about a delivery, with `handler_id`, `event_id` and `event_type` as extras.

    Logging may raise: where the application's record factory sets an attribute of one of these names, or at an
    exception whose traceback cannot be formatted. The record then has neither extras nor a traceback: what becomes of
    the delivery does not depend on it.

    Args:
        text: has a place for the id of the handler, the type and the id of the event, and each of the `details`.
        error: is logged with its traceback.
    """
    values = handler.id, event.event_type, event.event_id, *details
    extra = {"handler_id": handler.id, "event_id": event.event_id, "event_type": event.event_type}
    try:
        log.log(level, text, *values, exc_info=error, extra=extra, stacklevel=2)
    except Exception as broken:  # noqa: BLE001 - filters, factories and handlers of records are the user's code
        with suppress(Exception):
            log.log(level, f"{text} (its details cannot be logged: %s)", *values, type(broken).__name__, stacklevel=2)


async def call(handler: Handler, current: CurrentDelivery, limit: float | None) -> None:
    """Call a handler, through the middleware of its bus, within a limit in seconds; None for no limit.

    Raises:
        TimeoutError: the handler ran past the limit, even if it raised another exception when it was cancelled.
    """
    scope = asyncio.timeout(limit)
    try:
        async with scope:
            if handler.middleware.delivering:
                await handler.middleware.deliver(current, lambda: _call(handler, current.event, limit))
            else:
                await _call(handler, current.event, limit)
    except (Exception, SystemExit) as error:
        if not scope.expired():
            raise
        if isinstance(error, TimeoutError):
            raise TimeoutError(f"ran past its limit of {limit:g} s") from None
        raise TimeoutError(f"ran past its limit of {limit:g} s, and raised after it was cancelled") from error
    if scope.expired():
        raise TimeoutError(f"ran past its limit of {limit:g} s, and kept running after it was cancelled")


async def _call(handler: Handler, event: DomainEvent, limit: float | None) -> None:
    """Run a plain handler inline in the foreground and in a thread in the background; await an awaitable result."""
    if handler.is_threaded:
        result = await in_thread(handler.function, event)
    else:
        began = time.perf_counter()
        result = handler.function(event)
        _warn_if_blocked(handler, event, time.perf_counter() - began, limit)
    if inspect.isawaitable(result):
        await result
    elif inspect.isgenerator(result) or inspect.isasyncgen(result):
        raise TypeError("the handler returned a generator, so its code did not run: a handler must not yield")


def _warn_if_blocked(handler: Handler, event: DomainEvent, took: float, limit: float | None) -> None:
    if limit is not None and took > limit:
        text = (
            "handler %r blocked its event loop on %r %s for %.3g s, past its limit of %g s; "
            "background=True gives it a thread"
        )
        log_delivery(logging.WARNING, text, handler, event, took, limit)


def _cancellations() -> int:
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def _milliseconds_since(began: float) -> float:
    return (time.perf_counter() - began) * 1000
