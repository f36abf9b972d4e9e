"""The event bus: the part of the library that applications use.

bus = get_event_bus()

@event_handler("payment.completed")
async def send_receipt(event: PaymentCompleted) -> None: ...

await bus.publish(PaymentCompleted(payment_id="p_1", amount=12.5, currency="EUR"))
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from craft_easy.core.events.handlers import context
from craft_easy.core.events.handlers.attempt import (
    UntrackedDelivery,
    call,
    deliver_untracked,
    log_delivery,
    settle_untracked,
)
from craft_easy.core.events.handlers.background import Tasks
from craft_easy.core.events.handlers.context import enter, leave
from craft_easy.core.events.handlers.loops import PerLoop, is_in_loop, run_from_thread
from craft_easy.core.events.handlers.middleware import Middleware, MiddlewareStack
from craft_easy.core.events.handlers.registry import Handler, Plan, Registry, Subscription
from craft_easy.core.events.model.event import DomainEvent
from craft_easy.core.events.model.retry import RetryPolicy
from craft_easy.core.events.public import ROOT, load

if TYPE_CHECKING:
    from craft_easy.core.events.engine.outbox import Transaction
    from craft_easy.core.events.engine.publisher import Publisher
    from craft_easy.core.events.engine.report import DeliveryObserver
    from craft_easy.core.events.store import EventStore


class EventBus:
    """Hands events to the handlers that are subscribed to their type.

    Without a store it does so in memory: events that are not handled when the process ends are lost. With a store
    (`configure_store`) every event is in the log before its first handler runs.

    A bus may be used from several event loops; background tasks, their limit and `drain()` belong to the running one.
    """

    def __init__(self) -> None:
        self.middleware = MiddlewareStack()
        self.registry = Registry(self.middleware)
        self._tasks = PerLoop(lambda: Tasks(flush=self._flush))
        self._observers: list[DeliveryObserver] = []
        self._publisher: Publisher | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._former_publishers: list[Publisher] = []

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
        """Call a handler with every event whose type matches a pattern.

        Args:
            pattern: `*` matches any run of characters, dots included, `?` any single one; the whole type must match.
            handler: `async def` or plain `def`, called with the event. A plain one runs inline in the foreground and in
                a thread in the background.
            background: run it as a task that `publish` does not wait for.
            id: the name of its deliveries in the log; `module:qualname` unless given.
            aliases: former ids of the handler, under which deliveries may be pending.
            replayable: whether a replay may run it again.
            timeout: seconds that one attempt may take.
            retry: when a failed delivery is tried again, with a store; None for the default policy.

        Raises:
            TypeError: the handler is not a callable, or has no lasting id; the message shows the fix.
            ValueError: an option cannot be used.
        """
        self._see_loop()
        return self.registry.subscribe(
            pattern,
            handler,
            background=background,
            id=id,
            aliases=aliases,
            replayable=replayable,
            timeout=timeout,
            retry=retry,
        )

    def unsubscribe(self, *which: Callable[..., Any] | str) -> int:
        """Remove a handler: `unsubscribe(handler)` everywhere, `unsubscribe(pattern, handler)` from one pattern.

        The handler is given as its function or its id. Returns the number of subscriptions that were removed.
        """
        match which:
            case (handler,):
                return self.registry.unsubscribe(handler)
            case (str() as pattern, handler):
                return self.registry.unsubscribe(handler, pattern=pattern)
        raise TypeError("unsubscribe takes a handler, or a pattern and a handler: unsubscribe(handler)")

    def subscriptions(self) -> tuple[Subscription, ...]:
        """Return all subscriptions in registration order."""
        return self.registry.subscriptions()

    def add_middleware(self, middleware: Middleware) -> None:
        """Run code of the application around every publish and every delivery of this bus.

            class Logging:
                async def deliver(self, delivery, call_next):
                    with bound_contextvars(event_id=delivery.event.event_id):
                        await call_next(delivery)

            bus.add_middleware(Logging())

        The one that is added first is the outermost. Its method `publish` runs before the event is stored and may pass
        on another event; what it raises reaches the caller. Its method `deliver` runs inside the handler's time limit,
        in a redispatch and a replay, too; what it raises fails the attempt as if the handler had raised it. Each awaits
        `call_next` once, or raises.

        Args:
            middleware: an object with `async def publish(self, event, call_next)`,
                `async def deliver(self, delivery, call_next)`, or both.

        Raises:
            TypeError: it has neither method, one of them is not `async def`, or it was added before.
        """
        self.middleware.add(middleware)

    def add_observer(self, observer: DeliveryObserver) -> None:
        """Call a function with the report of each delivery of this bus, once its outcome is stored.

        That is the outcome of an attempt as the log has it: whether a failure is tried again or the delivery is dead is
        only known then. It is called on the event loop, for publishes and redispatch; a replay stores no outcomes.
        """
        self._observers.append(observer)

    # Publish

    async def publish(self, event: DomainEvent) -> None:
        """Store an event, where there is a store, and run its handlers.

        It returns when the foreground handlers have ended, in registration order. Background handlers may still run,
        and outcomes may not be stored yet: `drain` waits for both. A handler that raises is logged, and the rest still
        run: `publish` never raises because of a handler. Past 10,000 background tasks it waits, unless it is called
        inside a delivery. A cancelled caller leaves the running handler and the later foreground ones undone.

        Raises:
            TypeError: the event is not a `DomainEvent`.
            InvalidEvent, EventConflict, StoreUnavailable: with a store, see `configure_store`; no handler ran.
            Exception: a middleware refuses the event; see `add_middleware`.
        """
        plan = self._plan(event)
        if (context.suppressed_everywhere or context.suppressed_here()) and context.suppresses():
            return
        if self.middleware.publishing:
            await self.middleware.publish(event, self._publish)
        else:
            await self._publish(event, plan)

    async def _publish(self, event: DomainEvent, plan: Plan | None = None) -> None:
        """Publish an event that has come through the middleware."""
        plan = plan or self._plan(event)
        if plan.background:
            await self.tasks().admit()
        if self._publisher is not None:
            await self._publisher.publish(event, plan)
            return
        delivering = self.middleware.delivering
        try:
            for handler in plan.handlers:
                if handler.background:
                    self._start(handler, event)
                    continue
                current = UntrackedDelivery()
                current.event, current.handler_id = event, handler.id
                token = enter(current)
                try:
                    is_bare = handler.is_async and handler.timeout is None and not delivering
                    await (handler.function(event) if is_bare else call(handler, current, handler.timeout))
                except BaseException as error:  # noqa: BLE001 - even sys.exit() fails this handler alone
                    settle_untracked(handler, current, error)
                finally:
                    current.is_open = False
                    leave(token)
        except asyncio.CancelledError:
            for late in plan.handlers[plan.handlers.index(handler) + 1 :]:
                if late.background:
                    self._start(late, event)
            raise

    def _start(self, handler: Handler, event: DomainEvent) -> None:
        """Start a background delivery that no store keeps."""
        if self.tasks().start(deliver_untracked(handler, event)) is None:
            text = "handler %r is not started on %r %s: the event loop is closing"
            log_delivery(logging.WARNING, text, handler, event)

    async def publish_many(self, events: Iterable[DomainEvent]) -> None:
        """Publish events in order; with a store they are stored with one write.

        Then `call_next` of a middleware only adds its event to the batch; the batch is stored, and its handlers run,
        when all events have passed the middleware.
        """
        batch = list(events)
        plans = [self._plan(event) for event in batch]
        if self._publisher is None:
            for event in batch:
                await self.publish(event)
        elif not context.suppresses(len(batch)):
            if self.middleware.publishing:
                batch = await self.middleware.batch(batch)
                plans = [self._plan(event) for event in batch]
            if any(plan.background for plan in plans):
                await self.tasks().admit()
            await self._publisher.publish_many(batch, plans)

    def transaction(self, client: Any) -> AbstractAsyncContextManager[Transaction]:
        """Store events in a transaction of the caller's own: the outbox.

            async with bus.transaction(client) as tx:
                await client["shop"]["payments"].insert_one(payment, session=tx.session)
                await tx.publish(PaymentCompleted(...))

        The end of the block commits and then runs the handlers, as `publish` does. An exception in the block rolls
        back: no event, no handler. If the process dies after the commit, a redispatch delivers the events a minute
        later.

        Args:
            client: the PyMongo or Motor client that makes the writes; it belongs to the log's deployment.

        Raises:
            RuntimeError: this bus has no store.
            TransactionsMissing: the server does not support transactions; the block was not entered.
            WrongDeployment: the client belongs to another deployment; the block was not entered.
            CommitUnknown: the reply to the commit was lost. No handler was run; if the transaction was committed, a
                redispatch delivers its events.
        """
        running: AbstractAsyncContextManager[Transaction]
        if context.suppresses(0):
            running = load(ROOT, "begin_suppressed")(client, self._plan)
        else:
            running = load(ROOT, "begin")(self.publisher, client, self._plan, self.middleware)
        return running

    def publish_from_thread(self, event: DomainEvent) -> None:
        """Publish an event from plain code in another thread, as `publish` does, and block until it returns.

        The event is published on the running event loop that used the bus first: to subscribe, to configure the store,
        to enter `async with bus:` or to publish.

        Raises:
            RuntimeError: no running loop has used the bus, that loop has ended, or this thread runs a loop.
        """
        if is_in_loop():
            raise RuntimeError(
                "publish_from_thread blocks, and this thread runs an event loop: use `await bus.publish(event)`; "
                "a plain handler in the foreground runs here too, background=True gives it a thread"
            )
        loop = self._tasks.running()
        if loop is None:
            raise RuntimeError("no running event loop uses this bus yet: enter `async with bus:` there first")
        run_from_thread(loop, self.publish(event))

    # The store

    def configure_store(
        self, store: EventStore | None, *, on_error: Literal["raise", "log"] = "raise", lease: float = 30
    ) -> None:
        """Keep every event in a store: first the record, then the handlers, then the outcome. None removes it.

        Args:
            store: the event log.
            on_error: "raise" raises `StoreUnavailable` for an event that cannot be stored, and runs no handler; "log"
                runs its handlers anyway, and a crash then loses the event.
            lease: seconds without a heartbeat after which other workers may take over the records of this process.
        """
        if on_error not in ("raise", "log"):
            raise ValueError(f'on_error must be "raise" or "log", not {on_error!r}')
        if not lease > 0:
            raise ValueError(f"lease must be a positive number of seconds, not {lease!r}")
        if self._publisher is not None:
            self._former_publishers.append(self._publisher)
        self._publisher = None
        if store is not None:
            self._publisher = load(ROOT, "Publisher")(
                store, on_error=on_error, lease=lease, tasks=self.tasks, observers=self._observers
            )
        self._see_loop()

    @property
    def has_store(self) -> bool:
        """True if events are kept in a store."""
        return self._publisher is not None

    @property
    def publisher(self) -> Publisher:
        """The publisher that keeps the events of this bus in its store.

        Raises:
            RuntimeError: no store is configured.
        """
        if self._publisher is None:
            raise RuntimeError("this bus has no store: bus.configure_store(EventStore()) first")
        return self._publisher

    # The end

    async def drain(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the design's word
        """Return when the background handlers of the running loop have ended and their outcomes are stored.

        Background handlers that start during the wait are awaited, too.

        Raises:
            TimeoutError: some handlers still run after `timeout` seconds; they continue.
            RuntimeError: called inside a delivery, which would wait for itself.
        """
        tasks = self.tasks()
        try:
            async with asyncio.timeout(timeout) as limit:
                await self._drain(tasks)
        except TimeoutError:
            if not limit.expired():
                raise
            raise TimeoutError(f"{len(tasks)} background handlers still run after {timeout:g} s") from None

    async def _drain(self, tasks: Tasks) -> None:
        """Wait for tasks and outcomes in turn, since more tasks may start while outcomes are written."""
        while True:
            await tasks.drain()
            await self._flush()
            if not len(tasks):
                return

    async def _flush(self) -> None:
        for publisher in self._publishers():
            await publisher.flush()

    async def aclose(self) -> None:
        """Wait for background handlers, write the remaining outcomes, and leave the registry of workers.

        An outage must not keep an application from ending: outcomes that cannot be written within a minute are dropped
        with a warning, and another worker delivers their events. A close that is cancelled cancels the handlers, whose
        events stay open. The bus can be used again afterwards.

        Raises:
            RuntimeError: called inside a delivery, which would wait for itself.
        """
        cancelled = await self.tasks().end()
        for publisher in self._publishers():
            await publisher.aclose()
        self._former_publishers = []
        if cancelled is not None:  # raised now, since the caller closes the store next
            raise cancelled

    async def __aenter__(self) -> Self:
        self._see_loop()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def tasks(self) -> Tasks:
        """Return the background tasks of the running loop."""
        return self._tasks.here()

    def _see_loop(self) -> None:
        """Remember the running loop, if this thread has one, for `publish_from_thread`."""
        if is_in_loop():
            self._tasks.here()
        self._loop = self._tasks.running()

    def _publishers(self) -> list[Publisher]:
        return [*self._former_publishers, *([] if self._publisher is None else [self._publisher])]

    def _plan(self, event: DomainEvent) -> Plan:
        if not isinstance(event, DomainEvent):
            raise TypeError(f"publish takes a DomainEvent, such as ResourceCreated(…), not {event!r}")
        if self._loop is None or not self._loop.is_running():
            self._see_loop()
        return self.registry.plans[event.event_type]
