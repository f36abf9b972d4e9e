"""Shared by the tests of faults: an application on a log, handlers that record their runs, and queries of the log."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from craft_easy.core.events import DomainEvent, EventBus
from craft_easy.core.events.clock import steady
from craft_easy.core.events.engine.report import ConnectionLost, DeliveryReport, Notice, Observer
from craft_easy.core.events.engine.takeover import TakeOver
from craft_easy.core.events.model.delivery import Delivery
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.redispatch import RedispatchOptions, RedispatchSummary, redispatch
from craft_easy.core.events.store import EventStore, drivers
from craft_easy.core.events.store.deliveries import Deliveries
from craft_easy.core.events.store.documents import record_id
from craft_easy.core.events.store.worker_registry import WorkerRegistry

LEASE: Final = 1.0
DEADLINE: Final = 15.0
"""The deadline of each call to the log, in seconds."""
SHORT_DEADLINE: Final = 1.5
"""A deadline that a test waits for."""
SLACK_S: Final = 10.0
"""How much later than its deadline a call may end on a busy machine; a driver gives up by itself after 30 s."""
PATIENCE_S: Final = 180.0
"""The longest wait of a handler, so that a failing test ends."""
Handler = Callable[[DomainEvent], Awaitable[None]]


@asynccontextmanager
async def application(uri: str, database: str, *, lease: float = LEASE) -> AsyncIterator[EventBus]:
    """Return a bus that stores its events in a log, with a worker of its own."""
    async with EventStore(database, uri=uri, timeout=DEADLINE) as store, EventBus() as bus:
        bus.configure_store(store, lease=lease)
        yield bus


class Ran:
    """Handlers that record their runs."""

    def __init__(self) -> None:
        self.runs: Counter[tuple[str, str]] = Counter()

    def handler(self, name: str, then: Handler | None = None) -> Handler:
        async def handle(event: DomainEvent) -> None:
            self.runs[name, event.event_id] += 1
            if then is not None:
                await then(event)

        return handle

    @property
    def total(self) -> int:
        return self.runs.total()


class Gate:
    """A handler that waits until it is released, and then returns or raises."""

    def __init__(self, error: Exception | None = None) -> None:
        self.entered = asyncio.Event()
        self.opened = asyncio.Event()
        self._error = error

    async def __call__(self, _: DomainEvent) -> None:
        self.entered.set()
        async with asyncio.timeout(PATIENCE_S):
            await self.opened.wait()
        if self._error is not None:
            raise self._error


class Recorder:
    """Stores the reports of a redispatch: outcomes that the log has acknowledged, and each lost connection.

    Args:
        on_lost: called when the connection is lost.
    """

    def __init__(self, on_lost: Callable[[], None] = lambda: None) -> None:
        self.reports: list[DeliveryReport] = []
        self.lost_at: list[str] = []
        self._on_lost = on_lost

    def __call__(self, notice: Notice) -> None:
        match notice:
            case DeliveryReport():
                self.reports.append(notice)
            case ConnectionLost(reason=reason):
                self.lost_at.append(reason)
                self._on_lost()


def events(count: int, **values: Any) -> list[DomainEvent]:
    """Return events of one type."""
    return [DomainEvent(event_type="order.placed", payload={"n": number}, **values) for number in range(count)]


async def fails(_: DomainEvent) -> None:
    """Fail."""
    raise ValueError("no")


async def deliver(
    bus: EventBus,
    selection: Selection | None = None,
    *,
    observer: Observer | None = None,
    stop: asyncio.Event | None = None,
    **options: Any,
) -> RedispatchSummary:
    """Redispatch once, ignoring back-off."""
    options.setdefault("now", True)
    return await redispatch(bus, selection or Selection(), RedispatchOptions(**options), observer=observer, stop=stop)


async def delivery(store: EventStore, event: DomainEvent) -> Delivery:
    """Return the value of `delivery` in the record of an event."""
    [found] = (await Deliveries(store).read([record_id(event.event_id)])).values()
    return found.delivery


async def states(store: EventStore, published: Sequence[DomainEvent]) -> Counter[tuple[str, str | None]]:
    """Count the records of these events by state and owner."""
    found = await Deliveries(store).read([record_id(event.event_id) for event in published])
    return Counter((one.delivery.state, one.delivery.owner) for one in found.values())


async def own(store: EventStore, owner: str, *, lease: float = LEASE, register: bool = True) -> None:
    """Assign every open record to a worker that never sends a heartbeat."""
    if register:
        await WorkerRegistry(store).register(owner, lease=lease)
    await (await store.collection()).update_many(
        {"delivery.state": "open"},
        {"$set": {"delivery.owner": owner, "delivery.claimed_at": await store.now()}, "$inc": {"delivery.rev": 1}},
    )


async def freed(take_over: TakeOver) -> int:
    """Poll until a worker is taken over, and return the number of records that were freed."""
    async with asyncio.timeout(PATIENCE_S):
        while not (count := await take_over.once()):  # noqa: ASYNC110 - each poll is a round trip
            await asyncio.sleep(0.05)
    return count


async def passes(seconds: float) -> None:
    """Return after this time by the clock that counts leases."""
    end = steady() + seconds
    while steady() < end:  # noqa: ASYNC110 - a clock has to be polled
        await asyncio.sleep(0.01)


@dataclass(frozen=True, slots=True)
class Step:
    """A record after one write: its revision and its owner."""

    rev: int
    owner: str | None


class History:
    """Every write under `delivery` of one record, from a change stream."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def steps(self) -> list[Step]:
        """Return all writes since the stream was opened."""
        steps, rev, owner = [], 0, None
        while (change := await self._stream.try_next()) is not None:
            for name, value in change["updateDescription"]["updatedFields"].items():
                match name.split("."):
                    case ["delivery"]:
                        rev, owner = value["rev"], value["owner"]
                    case ["delivery", "rev"]:
                        rev = value
                    case ["delivery", "owner"]:
                        owner = value
            steps.append(Step(rev, owner))
        return steps


@asynccontextmanager
async def history(store: EventStore) -> AsyncIterator[History]:
    """Follow the writes to the existing records of a log."""
    collection = await store.collection()
    stages = [{"$match": {"operationType": "update"}}]
    async with await drivers.watch(collection, stages, max_await_time_ms=200) as stream:
        await stream.try_next()
        yield History(stream)


def assert_one_owner_at_a_time(steps: Sequence[Step]) -> None:
    """Check that each write adds one to the revision, and that a record changes its owner only by being freed first."""
    assert [one.rev for one in steps] == list(range(steps[0].rev, steps[0].rev + len(steps)))
    owners = [one.owner for one in steps]
    assert not [pair for pair in pairwise(owners) if None not in pair and pair[0] != pair[1]]
