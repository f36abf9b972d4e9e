"""Middleware: an application's own code around every publish and every delivery of a bus.

class Tenancy:
    async def publish(self, event, call_next):
        await call_next(event.model_copy(update={"tenant_id": tenant.get()}))

    async def deliver(self, delivery, call_next):
        with tenant_of(delivery.event):
            await call_next(delivery)
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Final, Generic, Protocol, TypeAlias, TypeVar

from craft_easy.core.events.handlers.context import CurrentDelivery
from craft_easy.core.events.model.event import DomainEvent

T = TypeVar("T")

PublishNext: TypeAlias = Callable[[DomainEvent], Awaitable[None]]
"""Passes an event on, to the next middleware or to the log and the handlers."""
DeliverNext: TypeAlias = Callable[[CurrentDelivery], Awaitable[None]]
"""Passes a delivery on, to the next middleware or to the handler."""

_Method: TypeAlias = Callable[[T, Callable[[T], Awaitable[None]]], Awaitable[None]]
_METHODS: Final = ("publish", "deliver")
_UNCALLED: Final = {
    "publish": "the event is not published: raise an exception to refuse it",
    "deliver": "the handler did not run: raise Discard(reason) to skip the delivery, Retry() to try it again",
}
_TWICE: Final = {
    "publish": "an event is published once",
    "deliver": "the handler runs once in an attempt: raise Retry() for another attempt",
}


class PublishMiddleware(Protocol):
    """A middleware around publishing."""

    async def publish(self, event: DomainEvent, call_next: PublishNext, /) -> None:
        """Publish an event with `await call_next(event)`, or with another event in its place.

        An exception reaches the caller of `publish`. A copy, `event.model_copy(update=…)`, keeps the id of the event,
        so that a publish that is tried again publishes the same event.
        """


class DeliverMiddleware(Protocol):
    """A middleware around deliveries."""

    async def deliver(self, delivery: CurrentDelivery, call_next: DeliverNext, /) -> None:
        """Run the handler with `await call_next(delivery)`, within the handler's time limit.

        An exception fails the attempt like one of the handler: `Retry` and `Discard` are signals here, too.
        """


Middleware: TypeAlias = PublishMiddleware | DeliverMiddleware
"""An object with a method `publish`, a method `deliver`, or both."""


class MiddlewareStack:
    """The middleware of one bus, the outermost first."""

    def __init__(self) -> None:
        self._added: list[Middleware] = []
        self._innermost: tuple[Middleware, ...] = ()
        self.publishing: tuple[_Method[DomainEvent], ...] = ()
        """The `publish` methods; empty where nothing is around publishing."""
        self.delivering: tuple[_Method[CurrentDelivery], ...] = ()
        """The `deliver` methods."""

    def add(self, middleware: Middleware) -> None:
        """Add a middleware inside of those that were added before; see `EventBus.add_middleware`."""
        _check(middleware)
        if any(middleware is added for added in self._added):
            raise TypeError(f"{middleware!r} is already a middleware of this bus")
        self._added.append(middleware)
        self._build()

    def keep_innermost(self, middleware: Middleware) -> None:
        """Keep a middleware inside of all that are added, those that are added later included."""
        self._innermost = (middleware,)
        self._build()

    def _build(self) -> None:
        every = [*self._added, *self._innermost]
        self.publishing = tuple(method for each in every if (method := getattr(each, "publish", None)) is not None)
        self.delivering = tuple(method for each in every if (method := getattr(each, "deliver", None)) is not None)

    async def publish(self, event: DomainEvent, innermost: PublishNext) -> None:
        """Pass an event through the middleware to `innermost`."""
        await _pass_on("publish", self.publishing, innermost, event)

    async def batch(self, events: Iterable[DomainEvent]) -> list[DomainEvent]:
        """Return the events that the middleware publishes in the place of these, which are to be stored together."""
        passed: list[DomainEvent] = []

        async def take(event: DomainEvent) -> None:
            passed.append(event)

        for event in events:
            await self.publish(event, take)
        return passed

    async def deliver(self, delivery: CurrentDelivery, run: Callable[[], Awaitable[None]]) -> None:
        """Pass a delivery through the middleware, and `run` its handler."""

        async def innermost(passed: CurrentDelivery) -> None:
            if passed is not delivery:
                raise TypeError(f"call_next takes the delivery that deliver was called with, not {passed!r}")
            await run()

        await _pass_on("deliver", self.delivering, innermost, delivery)


async def _pass_on(
    what: str, methods: Sequence[_Method[T]], innermost: Callable[[T], Awaitable[None]], value: T
) -> None:
    if not methods:
        await innermost(value)
        return
    caller = getattr(methods[0], "__self__", methods[0])
    rest: _Rest[T] = _Rest(partial(_pass_on, what, methods[1:], innermost), f"{type(caller).__name__}.{what}", what)
    await methods[0](value, rest)
    rest.check()


class _Rest(Generic[T]):
    """The rest of the way, which a middleware goes once.

    Args:
        go: passes a value through the middleware inside, to the end of the way.
        caller: names the method that gets this.
        what: "publish" or "deliver".
    """

    def __init__(self, go: Callable[[T], Awaitable[None]], caller: str, what: str) -> None:
        self._go = go
        self._caller = caller
        self._what = what
        self._is_called = False
        self._has_ended = False

    async def __call__(self, value: T) -> None:
        if self._is_called:
            raise RuntimeError(f"{self._caller} called call_next twice, and {_TWICE[self._what]}")
        self._is_called = True
        try:
            await self._go(value)
        finally:
            self._has_ended = True

    def check(self) -> None:
        """Refuse a middleware that has returned without a call, or during it: its event would be lost silently.

        Raises:
            RuntimeError: it has.
        """
        if not self._is_called:
            raise RuntimeError(f"{self._caller} returned without `await call_next(…)`, and {_UNCALLED[self._what]}")
        if not self._has_ended:
            raise RuntimeError(f"{self._caller} returned while call_next was running: it must await it")


def _check(middleware: object) -> None:
    """Refuse an object that is not a middleware, with a `TypeError` that shows the fix."""
    if isinstance(middleware, type):
        raise TypeError(f"a middleware is an object, not a class: add_middleware({middleware.__name__}())")
    methods = [(name, getattr(middleware, name, None)) for name in _METHODS]
    for name, method in methods:
        if method is not None and not inspect.iscoroutinefunction(method):
            raise TypeError(f"{type(middleware).__name__}.{name} must be `async def {name}(self, …, call_next)`")
    if all(method is None for _, method in methods):
        raise TypeError(
            "a middleware has a method `async def publish(self, event, call_next)`, "
            f"`async def deliver(self, delivery, call_next)`, or both, and {middleware!r} has neither"
        )
