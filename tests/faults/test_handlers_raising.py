"""Handlers that raise unusual exceptions: each fails an attempt of its own delivery, and nothing else."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NoReturn

import pytest

from craft_easy.core.events import DomainEvent, RetryPolicy
from craft_easy.core.events.model.retry import MAX_ERROR_TEXT, MAX_WAIT, Discard, Retry
from tests.faults.engine import Engine, Way

KINDS = {
    "awaited": (True, False),
    "background": (True, True),
    "inline": (False, False),
    "threaded": (False, True),
}
"""How a handler is written and run: whether it is `async def`, and in the background."""


def placed(number: int = 0, **values: Any) -> DomainEvent:
    return DomainEvent(event_type="order.placed", payload={"number": number}, **values)


def recurse(depth: int = 0) -> int:
    return recurse(depth + 1) + 1


def interrupt(error: BaseException) -> NoReturn:
    raise error


RAISED: dict[str, Callable[[], object]] = {
    "SystemExit": sys.exit,
    "CancelledError": lambda: interrupt(asyncio.CancelledError()),
    "GeneratorExit": lambda: interrupt(GeneratorExit()),
    "RecursionError": recurse,
    "BaseExceptionGroup": lambda: interrupt(BaseExceptionGroup("all at once", [SystemExit(1), KeyboardInterrupt()])),
}


def handler(raises: Callable[[], object], *, is_async: bool) -> Callable[[DomainEvent], Any]:
    async def awaited(_: DomainEvent) -> None:
        await asyncio.sleep(0)
        raises()

    def plain(_: DomainEvent) -> None:
        raises()

    return awaited if is_async else plain


@pytest.mark.parametrize("raised", RAISED)
async def test_a_handler_that_raises_system_exit_fails_its_own_attempt_only(
    shop: Engine, way: Way, raised: str
) -> None:
    ran: list[str] = []

    async def good(event: DomainEvent) -> None:
        ran.append(event.event_id)

    for name, (is_async, background) in KINDS.items():
        shop.bus.subscribe("*", handler(RAISED[raised], is_async=is_async), id=name, background=background)
    shop.bus.subscribe("*", good, id="good")
    await way(shop, event := placed())
    await way(shop, following := placed())

    after = await shop.delivery(event)
    assert ran.count(event.event_id) == ran.count(following.event_id) == 1
    assert (after.state, after.owner) == ("open", None)
    assert await shop.entry(event, "good") == after.handlers[-1]
    assert after.handlers[-1].state == "done"
    kept = "SystemExit, KeyboardInterrupt" if raised == "BaseExceptionGroup" else raised
    for entry in after.handlers[:-1]:
        assert (entry.state, entry.attempts) == ("pending", 1), entry.id
        assert [error.type for error in entry.errors] == [kept], entry.id


async def test_a_handler_that_cancels_the_task_it_runs_in_costs_a_redispatch_one_attempt(shop: Engine) -> None:
    ran: list[str] = []

    async def cancel(_: DomainEvent) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.Event().wait()

    async def good(event: DomainEvent) -> None:
        ran.append(event.event_id)

    shop.bus.subscribe("*", cancel, id="foreground")
    shop.bus.subscribe("*", cancel, id="background", background=True)
    shop.bus.subscribe("*", good, id="good")
    await shop.append(event := placed(), following := placed())
    summary = await shop.redispatch(concurrency=1)

    assert (summary.claimed, summary.failed, summary.done) == (2, 4, 2)
    assert ran == [event.event_id, following.event_id]
    for name in ("foreground", "background"):
        entry = await shop.entry(event, name)
        assert (entry.state, entry.attempts, entry.errors[0].type) == ("pending", 1, "CancelledError")


class MuteError(Exception):
    """Its text cannot be read."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class LeavingError(Exception):
    """Ends the process that reads its text."""

    def __str__(self) -> str:
        sys.exit("gone")


class NumberedError(Exception):
    """Its text is not a string."""

    def __str__(self) -> str:
        return 42  # type: ignore[return-value]  # on purpose


def named(name: str) -> type[Exception]:
    error = type("Named", (Exception,), {})
    error.__qualname__ = name
    return error


TEXTS: dict[str, tuple[Callable[[], Exception], str]] = {
    "whose str() raises": (MuteError, "(its text could not be read: RuntimeError)"),
    "whose str() ends the process": (LeavingError, "(its text could not be read: SystemExit)"),
    "whose str() is not text": (NumberedError, "(its text could not be read: TypeError)"),
    "that is 50 MB long": (lambda: ValueError("x" * 50_000_000), "x" * (MAX_ERROR_TEXT - 1) + "…"),
    "that reads like a field": (lambda: ValueError("$delivery.owner"), "$delivery.owner"),
    "that reads like an operator": (lambda: ValueError({"$set": {"a.b": 1}}), "{'$set': {'a.b': 1}}"),
    "with a lone surrogate": (lambda: ValueError("a \udc80 b"), "a \\udc80 b"),
    "with NUL": (lambda: ValueError("a\0b"), "a\0b"),
    "with escape sequences": (lambda: ValueError("\x1b[31m\u202e[bold]\r\n"), "\x1b[31m\u202e[bold]\r\n"),
}


@pytest.mark.parametrize("text", TEXTS)
async def test_an_error_with_any_text_is_kept(shop: Engine, way: Way, text: str) -> None:
    make, kept = TEXTS[text]
    shop.bus.subscribe("*", handler(lambda: interrupt(make()), is_async=True), id="odd")
    await way(shop, event := placed())

    after = await shop.delivery(event)
    assert (after.state, after.owner, after.handlers[0].attempts) == ("open", None, 1)
    assert [error.message for error in after.handlers[0].errors] == [kept]


@pytest.mark.parametrize("name", ["$where", "a.b\0c", "\ud800", "\x1b]0;title\x07", "", "N" * 5_000])
async def test_an_error_with_any_class_name_is_kept(shop: Engine, way: Way, name: str) -> None:
    shop.bus.subscribe("*", handler(lambda: interrupt(named(name)("no")), is_async=True), id="odd")
    await way(shop, event := placed())

    [error] = (await shop.entry(event, "odd")).errors
    kept = name.encode("utf-8", "backslashreplace").decode()
    assert error.type == (kept if len(kept) <= MAX_ERROR_TEXT else kept[: MAX_ERROR_TEXT - 1] + "…")
    assert error.message == "no"


REASONS = {
    "a lone surrogate": ("a \udc80 b", "a \\udc80 b"),
    "50 MB": ("x" * 50_000_000, "x" * (MAX_ERROR_TEXT - 1) + "…"),
    "a dollar sign": ("$delivery", "$delivery"),
    "NUL": ("a\0b", "a\0b"),
}


@pytest.mark.parametrize("reason", REASONS)
async def test_a_reason_that_the_log_cannot_keep_as_it_is_holds_up_no_outcome(
    shop: Engine, way: Way, reason: str
) -> None:
    given, kept = REASONS[reason]
    shop.bus.subscribe("*", handler(lambda: interrupt(Discard(given)), is_async=True), id="odd")
    shop.bus.subscribe("*", handler(lambda: None, is_async=True), id="good")
    await way(shop, event := placed())
    await way(shop, following := placed())

    entry = await shop.entry(event, "odd")
    assert (entry.state, entry.reason, entry.by, entry.errors) == ("skipped", kept, "handler", ())
    assert (await shop.delivery(event)).state == (await shop.delivery(following)).state == "done"


async def test_a_wait_past_the_end_of_the_calendar_holds_up_no_outcome(shop: Engine, way: Way) -> None:
    endless = RetryPolicy(delay=1e300, max_delay=float("inf"))
    shop.bus.subscribe("*", handler(lambda: interrupt(Retry(timedelta.max)), is_async=True), id="later")
    shop.bus.subscribe("*", handler(lambda: interrupt(ValueError("no")), is_async=True), id="endless", retry=endless)
    shop.bus.subscribe("*", handler(lambda: None, is_async=True), id="good")
    await way(shop, event := placed())

    after = await shop.delivery(event)
    assert [(one.id, one.state, one.attempts) for one in after.handlers] == [
        ("later", "pending", 1),
        ("endless", "pending", 1),
        ("good", "done", 1),
    ]
    assert after.claimed_at is not None
    assert all(one.due_at is None or one.due_at - after.claimed_at < MAX_WAIT * 1.2 for one in after.handlers)


class OutOfStock(Discard):
    """A subclass of a signal without further content."""

    def __init__(self) -> None:
        Exception.__init__(self, "out of stock")


class NotYet(Retry):
    """Another one."""

    def __init__(self) -> None:
        Exception.__init__(self, "not yet")


async def test_signals_that_an_application_derives_are_signals(shop: Engine, way: Way) -> None:
    shop.bus.subscribe("*", handler(lambda: interrupt(OutOfStock()), is_async=True), id="never")
    shop.bus.subscribe("*", handler(lambda: interrupt(NotYet()), is_async=False), id="later", background=True)
    await way(shop, event := placed())

    never, later = await shop.entry(event, "never"), await shop.entry(event, "later")
    assert (never.state, never.attempts, never.reason) == ("skipped", 1, "")
    assert (later.state, later.attempts, later.errors) == ("pending", 1, ())


async def test_a_handler_that_always_raises_retry_is_dead_after_its_last_attempt(shop: Engine) -> None:
    shop.bus.subscribe(
        "*",
        handler(lambda: interrupt(Retry(after=0)), is_async=True),
        id="never ready",
        retry=RetryPolicy(max_attempts=3),
    )
    await shop.append(event := placed())
    summaries = [await shop.redispatch() for _ in range(4)]

    entry = await shop.entry(event, "never ready")
    assert [(one.retried, one.dead, one.claimed) for one in summaries] == [(1, 0, 1), (1, 0, 1), (0, 1, 1), (0, 0, 0)]
    assert (entry.state, entry.attempts, entry.errors) == ("dead", 3, ())
