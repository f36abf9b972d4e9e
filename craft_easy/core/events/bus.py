"""The event bus: the face that applications touch.

bus = get_event_bus()

@event_handler("payment.completed")
async def send_receipt(event: PaymentCompleted) -> None: ...

await bus.publish(PaymentCompleted(payment_id="p_1", amount=12.5, currency="EUR"))
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeVar

from craft_easy.core.events.handlers import context, stack
from craft_easy.core.events.handlers.background import Tasks
from craft_easy.core.events.handlers.loops import Loops
from craft_easy.core.events.handlers.registry import Registry, Subscription
from craft_easy.core.events.handlers.route import Route, deliver, go_on, share
from craft_easy.core.events.model.event import DomainEvent
from craft_easy.core.events.model.retry import RetryPolicy

if TYPE_CHECKING:
    from craft_easy.core.events.engine.outbox import Transaction
    from craft_easy.core.events.engine.publisher import Publisher
    from craft_easy.core.events.store import EventStore

F = TypeVar("F", bound=Callable[..., Any])

MAX_ROUTES: Final = 1024
"""So many routes are kept at most: event types may come from outside and be without number."""


class EventBus:
    """Hands events to the handlers that are subscribed to their type.

    Without a store it does so in memory: what the process has not handled when it ends is gone. With one
    (`configure_store`) every event is in the log before its first handler runs.

    A bus may be used from several event loops; background tasks, their limit and `drain()` belong to the running one.
    """

    def __init__(self) -> None:
        self.registry = Registry(self._forget_routes)
        self._routes: dict[type, dict[str, Route]] = {}
        self._routes_kept = 0
        self._loops = Loops(self._forget_routes)
        self._tracking: Publisher | None = None
        self._former_trackings: list[Publisher] = []

    # Subscribe

    def subscribe(
        self,
        pattern: str,
        handler: Callable[..., Any],
        *,
        background: bool = False,
        id: str | None = None,  # noqa: A002 - the design's word
        aliases: Iterable[str] = (),
        replayable: bool = True,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
    ) -> Subscription:
        """Have a handler called with every event whose type matches.

        Args:
            pattern: `*` is any run of characters, dots included, `?` is one; the whole type must match.
            handler: `async def` or plain `def`, called with the event. A plain one runs inline in the foreground and in
                a thread in the background.
            background: run it as a task that `publish` does not wait for.
            id: what its deliveries are kept under; `module:qualname` unless given.
            aliases: ids that it had before, so that what is pending under them still finds it.
            replayable: whether a replay may run it again.
            timeout: seconds that one attempt may take.
            retry: when a failed delivery is tried again, with a store; None for the default policy.

        Raises:
            TypeError: not a handler, or one without a lasting id; the message shows the fix.
            ValueError: an option that cannot be used.
        """
        added = self.registry.subscribe(
            pattern,
            handler,
            background=background,
            id=id,
            aliases=aliases,
            replayable=replayable,
            timeout=timeout,
            retry=retry,
        )
        self._loops.see()
        return next(one for one in self.registry.subscriptions() if one.handler is added)

    def unsubscribe(self, *which: Callable[..., Any] | str) -> int:
        """Remove a handler: `unsubscribe(handler)` everywhere, `unsubscribe(pattern, handler)` from one pattern.

        The handler is given as its function or its id. Returns from how many patterns it was removed.
        """
        match which:
            case (handler,):
                return self.registry.unsubscribe(handler)
            case (str() as pattern, handler):
                return self.registry.unsubscribe(handler, pattern=pattern)
        raise TypeError("what to unsubscribe: unsubscribe(handler), or unsubscribe(pattern, handler)")

    def subscriptions(self) -> tuple[Subscription, ...]:
        """Return all subscriptions in registration order."""
        return self.registry.subscriptions()

    # Publish

    async def publish(self, event: DomainEvent) -> None:
        """Run the handlers of an event.

        Foreground handlers are awaited in registration order. What one raises is logged, and the rest still run:
        `publish` never raises because of a handler. Past 10,000 background tasks it waits, unless it is called inside a
        delivery. A caller who is cancelled leaves the handler that runs, and later foreground ones, undone.

        Raises:
            TypeError: not a `DomainEvent`.
            InvalidEvent, EventConflict, StoreUnavailable: with a store, see `configure_store`; no handler ran.
        """
        # What every event pays for is in this one frame: a call costs as much as a handler that does nothing.
        route = None
        try:  # noqa: SIM105 - contextlib.suppress costs more than that
            route = self._routes[type(event)][event.event_type]
        except (AttributeError, KeyError, TypeError):
            pass
        if route is None:
            route = self._route(event)
        if route.is_tracked and self._tracking is not None and not context.is_used:
            await self._tracking.publish(event, route.plan)
            return
        if not route.is_brief or context.is_asked:
            await self._publish_at_length(event, route)
            return
        if not route.is_bare:
            await share(event, route)
            return
        calls = iter(route.calls)
        try:
            for call in calls:
                await call(event)
            return  # noqa: TRY300 - no jump for what always happens
        except BaseException as error:  # noqa: BLE001 - even sys.exit() fails that handler alone
            failure: BaseException | None = error
        try:
            await go_on(event, route, calls, failure)
        finally:
            failure = None  # its traceback holds this frame

    async def _publish_at_length(self, event: DomainEvent, route: Route) -> None:
        if context.is_used and context.suppresses():
            return
        tasks = self.tasks() if route.background else None
        if tasks is not None and tasks.is_full:
            await tasks.admit()
        if self._tracking is not None:
            await self._tracking.publish(event, route.plan)
        else:
            await deliver(event, route, tasks)

    async def publish_many(self, events: Iterable[DomainEvent]) -> None:
        """Publish events in order; with a store they are stored with one write."""
        batch = list(events)
        routes = [self._route(event) for event in batch]
        if self._tracking is None:
            for event in batch:
                await self.publish(event)
            return
        if context.is_used and context.suppresses(len(batch)):
            return
        tasks = self.tasks()
        if tasks.is_full and any(route.background for route in routes):
            await tasks.admit()
        await self._tracking.publish_many(batch, [route.plan for route in routes])

    def transaction(self, client: Any) -> AbstractAsyncContextManager[Transaction]:
        """Store events in a transaction of the caller's own: the outbox.

            async with bus.transaction(client) as tx:
                await client["shop"]["payments"].insert_one(payment, session=tx.session)
                await tx.publish(PaymentCompleted(...))

        The end of the block commits and then runs the handlers, as `publish` does. What the block raises rolls back: no
        event, no handler. A process that dies after the commit leaves its events to a redispatch, from a minute later.

        Args:
            client: the PyMongo or Motor client whose writes belong to it, of the log's deployment.

        Raises:
            RuntimeError: this bus has no store.
            TransactionsMissing: the server has none; nothing was written and the block not entered.
            WrongDeployment: the client is one of another deployment; the block not entered.
            CommitUnknown: whether it was committed could not be learnt. No handler was run; if it was committed, a
                redispatch delivers its events.
        """
        from craft_easy.core.events.engine.outbox import begin, begin_suppressed

        if context.is_used and context.is_on():
            return begin_suppressed(client, lambda event: self._route(event))
        return begin(self.tracking, client, lambda event: self._route(event).plan)

    def publish_from_thread(self, event: DomainEvent) -> None:
        """Publish an event from plain code in another thread and return when that is done.

        It is published on the running loop that the bus saw first: the one that subscribed, configured the store,
        entered `async with bus:` or published.

        Raises:
            RuntimeError: there is no such loop, it ended meanwhile, or this is the thread of an event loop.
        """
        self._loops.run_from_thread(lambda: self.publish(event))

    # The store

    def configure_store(
        self, store: EventStore | None, *, on_error: Literal["raise", "log"] = "raise", lease: float = 30
    ) -> None:
        """Keep every event in a store: first the record, then the handlers, then the outcome. None removes it.

        Args:
            store: the event log.
            on_error: what becomes of an event that cannot be stored. "raise" raises `StoreUnavailable`, and no handler
                runs; "log" runs the handlers all the same, and a crash then loses the event.
            lease: seconds of silence after which other workers may take over what this process owns.
        """
        if on_error not in ("raise", "log"):
            raise ValueError(f'on_error is "raise" or "log", not {on_error!r}')
        if not lease > 0:
            raise ValueError(f"lease is a positive number of seconds, not {lease!r}")
        if self._tracking is not None:
            self._former_trackings.append(self._tracking)
        self._tracking = None
        if store is not None:
            from craft_easy.core.events.engine.publisher import Publisher

            self._tracking = Publisher(store, on_error=on_error, lease=lease, tasks=self.tasks)
        self._forget_routes()
        self._loops.see()

    @property
    def tracking(self) -> Publisher:
        """What keeps the events of this bus.

        Raises:
            RuntimeError: no store is configured.
        """
        if self._tracking is None:
            raise RuntimeError("this bus has no store: bus.configure_store(EventStore()) first")
        return self._tracking

    # The end

    async def drain(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the design's word
        """Return when the background handlers of the running loop have ended and their outcomes are stored.

        Those that start meanwhile are waited for too. Inside a delivery, that one is left out.

        Raises:
            TimeoutError: some still run after `timeout` seconds; they go on.
        """
        self._loops.see()
        tasks = self.tasks()
        try:
            async with asyncio.timeout(timeout) as limit:
                await tasks.drain()
                for tracking in self._trackings():
                    await tracking.flush()
        except TimeoutError:
            if not limit.expired():
                raise
            raise TimeoutError(f"{len(tasks)} background handlers still run after {timeout:g} s") from None

    async def aclose(self) -> None:
        """Wait for background handlers, write what is left, and leave the registry of workers.

        Outcomes that the log does not take within a minute are given up with a warning, and their events are another
        worker's: an outage must not keep an application from ending. The bus can be used again afterwards.
        """
        self._loops.see()
        await self.tasks().drain()
        for tracking in self._trackings():
            await tracking.aclose()
        self._former_trackings = []

    async def __aenter__(self) -> Self:
        self._loops.see()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def tasks(self) -> Tasks:
        """Return the background tasks of the running loop."""
        return self._loops.tasks()

    def _trackings(self) -> list[Publisher]:
        return [*self._former_trackings, *([] if self._tracking is None else [self._tracking])]

    # Routes

    def _route(self, event: DomainEvent) -> Route:
        if not isinstance(event, DomainEvent):
            raise TypeError(f"publish takes a DomainEvent, such as ResourceCreated(…), not {event!r}")
        self._loops.see()
        routes = self._routes.setdefault(type(event), {})
        route = routes.get(event.event_type)
        if route is None:
            route = Route.of(
                self.registry.plan(event.event_type),
                is_tracked=self._tracking is not None,
                is_alone=not any(one.handler.background for one in self.registry.subscriptions()),
            )
            self._keep(type(event), route)
        return route

    def _keep(self, event_class: type, route: Route) -> None:
        if self._routes_kept >= MAX_ROUTES:
            self._forget_routes()
        self._routes.setdefault(event_class, {})[route.plan.event_type] = route
        self._routes_kept += 1

    def _forget_routes(self) -> None:
        self._routes = {}
        self._routes_kept = 0


stack.publishing.add(EventBus.publish.__code__)


# The bus of the process

_process_bus = EventBus()


def get_event_bus() -> EventBus:
    """Return the one bus of this process."""
    return _process_bus


def set_event_bus(bus: EventBus) -> EventBus:
    """Put a bus in place of the process's and return the one that it replaces; `testing.fresh_bus()` does it."""
    global _process_bus
    former, _process_bus = _process_bus, bus
    return former


def event_handler(
    pattern: str,
    *,
    background: bool = False,
    id: str | None = None,  # noqa: A002 - the design's word
    aliases: Iterable[str] = (),
    replayable: bool = True,
    timeout: float | None = None,
    retry: RetryPolicy | None = None,
) -> Callable[[F], F]:
    """Subscribe the function below to the process's bus and return it unchanged; see `EventBus.subscribe`."""
    if not isinstance(pattern, str):
        raise TypeError('@event_handler takes a pattern: @event_handler("payment.completed")')

    def subscribe(handler: F) -> F:
        get_event_bus().subscribe(
            pattern,
            handler,
            background=background,
            id=id,
            aliases=aliases,
            replayable=replayable,
            timeout=timeout,
            retry=retry,
        )
        return handler

    return subscribe
