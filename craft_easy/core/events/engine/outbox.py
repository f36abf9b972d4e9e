"""The outbox: events that are stored in the caller's own transaction, or not at all."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from craft_easy.core.events.engine.publisher import PendingPublish
from craft_easy.core.events.errors import StoreError
from craft_easy.core.events.handlers.context import suppresses
from craft_easy.core.events.handlers.middleware import MiddlewareStack
from craft_easy.core.events.handlers.registry import Plan
from craft_easy.core.events.model.event import DomainEvent
from craft_easy.core.events.store.deliveries import UNOWNED
from craft_easy.core.events.store.sessions import check, plain_transaction, transaction

if TYPE_CHECKING:
    from craft_easy.core.events.engine.publisher import Publisher
    from craft_easy.core.events.store.deliveries import Tracked

log: Final = logging.getLogger("craft_easy.core.events")

DUE_AFTER: Final = timedelta(seconds=60)
"""The age at which a redispatch claims a record of a transaction whose publisher has not: that has died."""


class Transaction:
    """A running transaction: writes with `session` and the events of `publish` are committed together.

    Args:
        publisher: stores the events of the bus and runs their handlers.
        session: a session of the caller's client, with a running transaction.
        client: the client of the session.
        plan: returns the handlers of an event.
        middleware: that of the bus.
    """

    def __init__(
        self,
        publisher: Publisher,
        session: Any,
        client: Any,
        plan: Callable[[DomainEvent], Plan],
        middleware: MiddlewareStack,
    ) -> None:
        self.session = session
        self._publisher = publisher
        self._client = client
        self._plan = plan
        self._middleware = middleware
        self._stored: list[tuple[PendingPublish, Tracked]] = []

    async def publish(self, event: DomainEvent) -> None:
        """Store an event in this transaction; its handlers run once the transaction is committed.

        Let any exception end the block: the server has aborted the transaction.

        Raises:
            InvalidEvent: the log could not keep the event exactly; nothing was written.
            EventConflict: its id is stored with another type, tenant, actor or payload.
            PyMongoError: an error of the driver, with its labels, as the caller's own writes raise it.
        """
        self._plan(event)  # refuses what is not an event
        await self._middleware.publish(event, self._insert)

    async def _insert(self, event: DomainEvent) -> None:
        record_owner, pending = self._publisher.record_owner(), PendingPublish(event, self._plan(event))
        record = self._publisher.unowned_record(pending, at=record_owner.worker.now() + DUE_AFTER)
        if await record_owner.deliveries.insert_within(self.session, self._client, record):
            self._stored.append((pending, record))

    async def dispatch(self) -> None:
        """Claim the committed records and run their handlers; a redispatch runs those that cannot be claimed now."""
        record_owner = self._publisher.record_owner()
        published = {record.id: pending for pending, record in self._stored if record.delivery.is_open}
        if not published:
            return
        try:
            claimed = await record_owner.claim(list(published), UNOWNED)
        except StoreError as error:
            log.warning("%d committed events are left to a redispatch: %s", len(published), error)
            return
        for owned in claimed:
            published[owned.record.id].owned = owned
        await self._publisher.dispatch_all(record_owner, [published[owned.record.id] for owned in claimed])


@asynccontextmanager
async def begin(
    publisher: Publisher, client: Any, plan: Callable[[DomainEvent], Plan], middleware: MiddlewareStack
) -> AsyncIterator[Transaction]:
    """Give a transaction; see `EventBus.transaction`."""
    await publisher.store.prepare()
    owner = await publisher.record_owner().worker.ready()
    flush = await check(client, publisher.store, owner)
    async with transaction(client, flush=flush) as session:
        running = Transaction(publisher, session, client, plan, middleware)
        yield running
    await running.dispatch()


class SuppressedTransaction:
    """A transaction during a replay: the handler's own writes are committed, its events suppressed."""

    def __init__(self, session: Any, check: Callable[[DomainEvent], object]) -> None:
        self.session = session
        self._check = check

    async def publish(self, event: DomainEvent) -> None:
        """Count an event that is suppressed."""
        self._check(event)
        suppresses()


@asynccontextmanager
async def begin_suppressed(client: Any, check: Callable[[DomainEvent], object]) -> AsyncIterator[Any]:
    """Give a transaction that stores no events; see `EventBus.transaction` and `handlers.context.suppressing`."""
    async with plain_transaction(client) as session:
        yield SuppressedTransaction(session, check)
