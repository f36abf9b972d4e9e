"""Running the handlers of an event that no store keeps: as little as possible for those who need little."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from craft_easy.core.events.handlers.attempt import Call, call_of, extra_of, settle
from craft_easy.core.events.handlers.background import Tasks
from craft_easy.core.events.handlers.context import CurrentDelivery, Scope, current_scope, enter, open_scope
from craft_easy.core.events.handlers.registry import Handler, Plan
from craft_easy.core.events.model.event import DomainEvent

log: Final = logging.getLogger("craft_easy.core.events")


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """A plan, made ready to run without a store.

    Args:
        calls: the foreground handlers' calls, in order.
        is_tracked: a store keeps it, and all handlers are in the foreground.
        is_brief: no store keeps it and all handlers are in the foreground.
        is_bare: moreover the bus has no background handlers at all, for which a publish from outside any delivery may
            have to wait and one from inside may not: so that nobody can tell, and these deliveries have no scope.
        background: the background handlers' calls, by handler.
    """

    plan: Plan
    calls: tuple[Call, ...]
    is_tracked: bool
    is_brief: bool
    is_bare: bool
    background: dict[Handler, Call]

    @classmethod
    def of(cls, plan: Plan, *, is_tracked: bool = False, is_alone: bool = False) -> Route:
        is_brief = not (is_tracked or plan.background)
        return cls(
            plan,
            calls=tuple(call_of(one) for one in plan.foreground),
            is_tracked=is_tracked and not plan.background,
            is_brief=is_brief,
            is_bare=is_brief and is_alone,
            background={one: call_of(one) for one in plan.background},
        )


class SharedScope(Scope):
    """One scope for all foreground handlers of an event: whose turn it is follows from how far their calls are."""

    __slots__ = ("calls", "route")
    route: Route
    calls: Iterator[Call]

    @property
    def handler(self) -> Handler:  # type: ignore[override]
        return running(self.route, self.calls)

    def current(self) -> CurrentDelivery:
        if self.view is not None and self.view.handler_id != self.handler.id:
            self.view.is_open = False
            self.view = None
        return super().current()


def running(route: Route, calls: Iterator[Call]) -> Handler:
    """Return the foreground handler whose call was taken last."""
    return route.plan.foreground[-1 - calls.__length_hint__()]  # type: ignore[attr-defined]


async def go_on(event: DomainEvent, route: Route, calls: Iterator[Call], failure: BaseException | None) -> None:
    """Settle what a foreground handler raised and run those that are left."""
    try:
        while failure is not None:
            settle(running(route, calls), event, failure)
            failure = None
            try:
                for call in calls:
                    await call(event)
            except BaseException as error:  # noqa: BLE001 - even sys.exit() fails this handler alone
                failure = error
    finally:
        failure = None  # its traceback holds this frame


async def share(event: DomainEvent, route: Route) -> None:
    """Await the foreground handlers in order, all in one scope: for a process that never asks whose turn it is."""
    outer, scope, failure = current_scope(), SharedScope(), None
    scope.event, scope.view, scope.route = event, None, route
    scope.calls = calls = iter(route.calls)
    enter(scope)
    try:
        for call in calls:
            await call(event)
    except BaseException as error:  # noqa: BLE001 - even sys.exit() fails this handler alone
        failure = error
    try:
        if failure is not None:
            await go_on(event, route, calls, failure)
    finally:
        failure = None  # its traceback holds this frame
        scope.end()
        if outer is not None and outer.event is not None:
            enter(outer)


async def deliver(event: DomainEvent, route: Route, tasks: Tasks | None = None) -> None:
    """Await the foreground handlers in order, each in a scope of its own, and start the background ones beside them.

    Whoever cancels this leaves that foreground delivery, and the later ones, undone; background ones still start.
    """
    outer = open_scope()
    calls, handlers = iter(route.calls), iter(route.plan.handlers)
    try:
        for handler in handlers:
            if handler.background:
                _start(handler, event, route, tasks)
                continue
            scope, failure = Scope(), None
            scope.event, scope.view, scope.handler = event, None, handler
            enter(scope)
            try:
                await next(calls)(event)
            except BaseException as error:  # noqa: BLE001 - even sys.exit() fails this handler alone
                failure = error
            scope.end()
            if failure is not None:
                settle(handler, event, failure)
    except asyncio.CancelledError:
        for handler in handlers:
            if handler.background:
                _start(handler, event, route, tasks)
        raise
    finally:
        failure = None  # its traceback holds this frame
        if outer is not None:
            enter(outer)


def _start(handler: Handler, event: DomainEvent, route: Route, tasks: Tasks | None) -> None:
    if tasks is None or tasks.start(_background(handler, route.background[handler], event)) is None:
        text = "handler %r is not started on %r %s: the event loop is closing"
        log.warning(text, handler.id, event.event_type, event.event_id, extra=extra_of(handler, event))


async def _background(handler: Handler, call: Call, event: DomainEvent) -> None:
    scope, failure = Scope(), None
    scope.event, scope.view, scope.handler = event, None, handler
    enter(scope)
    try:
        await call(event)
    except BaseException as error:  # noqa: BLE001 - even sys.exit() fails this handler alone
        failure = error
    scope.end()
    if failure is not None:
        try:
            settle(handler, event, failure)
        finally:
            failure = None  # its traceback holds this frame
