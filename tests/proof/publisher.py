"""Publishes in every way, from several tasks at once, until it is stopped or killed.

`python -m tests.proof.publisher SEED LEASE`; SIGTERM stops it properly, and so does the end of its stdin.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count
from typing import Any, Final

from pymongo.errors import PyMongoError

from craft_easy.core.events import DomainEvent, EventsError, get_event_bus
from craft_easy.core.events.store import EventStore
from tests.proof import application, goods, ledger

TASKS: Final = 3
MOST: Final = 600
"""The maximum number of events of one process."""
BACKLOG: Final = 12
PAUSE_S: Final = 0.03
AGAIN_S: Final = 0.3


class RolledBack(Exception):
    """Rolls a transaction back."""


class Publisher:
    """Publishes one event after another, and records each intention and each acknowledgement."""

    def __init__(self, seed: int, lease: float) -> None:
        self._random = random.Random(seed)
        self._numbers = count()
        self._stopped = asyncio.Event()
        self._store = EventStore()
        self._bus = get_event_bus()
        self._bus.configure_store(self._store, lease=lease)

    async def run(self) -> None:
        """Publish until stopped, and end properly."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stopped.set)
        loop.add_reader(sys.stdin, self._stopped.set)
        async with self._bus:
            await self.store_for_a_redispatch(BACKLOG)
            await asyncio.gather(*(self._publish_until_stopped() for _ in range(TASKS)))
        await application.client().close()
        await self._store.aclose()

    async def _publish_until_stopped(self) -> None:
        ways: list[Callable[[], Awaitable[None]]] = [
            self.publish,
            self.publish,
            self.publish_some,
            self.pay,
            self.pay_and_roll_back,
            lambda: self.store_for_a_redispatch(2),
        ]
        while not self._stopped.is_set() and next(self._numbers) < MOST:
            await self._random.choice(ways)()
            await asyncio.sleep(self._random.uniform(0, 2 * PAUSE_S))

    async def publish(self) -> None:
        """Publish one event."""
        event = self._intended()
        await self._store_until_acknowledged(lambda: self._bus.publish(event), event)

    async def publish_some(self) -> None:
        """Publish several events with one write."""
        events = [self._intended() for _ in range(self._random.randrange(2, 5))]
        await self._store_until_acknowledged(lambda: self._bus.publish_many(events), *events)

    async def store_for_a_redispatch(self, number: int) -> None:
        """Store events for a redispatch to deliver."""
        for event_type in (goods.RECEIVED, goods.ORDERED, goods.PAID):
            events = [self._intended(event_type) for _ in range(number)]
            append = partial(self._store.append_many, events, handlers=sorted(goods.HANDLERS[event_type]))
            await self._store_until_acknowledged(append, *events)

    async def pay(self) -> None:
        """Write a payment and publish it in one transaction; if that fails, the outcome is unknown."""
        event = self._intended(goods.PAID, way="transaction")
        try:
            await self._pay(event)
        except (EventsError, PyMongoError) as error:
            print("payment unknown:", error, file=sys.stderr)
        else:
            _acknowledge(event)

    async def pay_and_roll_back(self) -> None:
        """Do the same, and roll it back."""
        event = self._intended(goods.PAID, way="rollback")
        try:
            await self._pay(event, RolledBack())
        except RolledBack:
            ledger.enter("rolled back", event=event.event_id)
        except (EventsError, PyMongoError) as error:
            print("rolled back by an error:", error, file=sys.stderr)

    async def _pay(self, event: DomainEvent, thought: RolledBack | None = None) -> None:
        client = application.client()
        payments = client[os.environ["CRAFT_EVENTS_DATABASE"]][goods.PAYMENTS]
        async with self._bus.transaction(client) as tx:
            ledger.enter("holds", session=tx.session.session_id["id"].hex())
            await payments.insert_one({"_id": event.event_id}, session=tx.session)
            await tx.publish(event)
            if thought is not None:
                raise thought

    async def _store_until_acknowledged(self, publish: Callable[[], Awaitable[Any]], *events: DomainEvent) -> None:
        """Publish again until it is acknowledged, which is always allowed."""
        while not self._stopped.is_set():
            try:
                await publish()
            except EventsError as error:
                print("not stored:", error, file=sys.stderr)
                await asyncio.sleep(AGAIN_S)
            else:
                _acknowledge(*events)
                return

    def _intended(self, event_type: str = "", *, way: str = "publish") -> DomainEvent:
        number = next(self._numbers)
        chosen = event_type or self._random.choice([goods.RECEIVED, goods.RECEIVED, goods.ORDERED, goods.FLAWED])
        payload = {"number": number, "text": "$naïve\n", "big": 2**53 + number, "list": [None, {"share": number / 7}]}
        tenant = self._random.choice(["acme", "café", None])
        event = DomainEvent(event_type=chosen, tenant_id=tenant, actor_id=f"clerk {number % 3}", payload=payload)
        ledger.enter("intends", event=event.event_id, way=way, record=event.model_dump(mode="json"))
        return event


def _acknowledge(*events: DomainEvent) -> None:
    ledger.enter("acknowledged", events=[event.event_id for event in events])


async def main() -> None:
    """Run the process."""
    await Publisher(int(sys.argv[1]), float(sys.argv[2])).run()


if __name__ == "__main__":
    asyncio.run(main())
