"""A log in memory for the console's views of events: fixed figures, a history, and a stream that a test feeds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from craft_easy.core.events.engine.report import ConnectionLost, ConnectionResumed
from craft_easy.core.events.history.endings import Ending
from craft_easy.core.events.history.pages import PAGE, HistoryPage, key_in_history
from craft_easy.core.events.history.tail import Block, TailObserver, WentLive
from craft_easy.core.events.history.trace import Trace, TraceStep
from craft_easy.core.events.model.delivery import Delivery, Failure, HandlerDelivery
from craft_easy.core.events.operations.stats import Bar, Oldest, Stats, StatsGroup
from craft_easy.core.events.operations.workers import WorkerStatus
from craft_easy.core.events.store.formats import event_json
from craft_easy.core.events.store.queries.trace import Link
from craft_easy.core.events.store.worker_registry import RunningDelivery
from craft_events_cli.top.filtering import EventFilter
from tests.support.consoles import MemorySource
from tests.support.history import BEGAN, HISTORY, HOSTILE, record

NOW = BEGAN + timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def figures(**fields: Any) -> Stats:
    """Return the figures of a log with a backlog."""
    bars = [Bar(BEGAN + n * MINUTE, BEGAN + (n + 1) * MINUTE, n % 7, n % 5 // 4) for n in range(60)]
    found = Stats(
        at=NOW,
        open=1_241,
        owned=12,
        waiting=18,
        dead=3,
        oldest=Oldest("e-1", "order.placed", "acme", BEGAN, 11_520.0),
        since=BEGAN,
        until=NOW,
        bar=MINUTE,
        events=sum(one.events for one in bars),
        failed=sum(one.failed for one in bars),
        bars=bars,
        by="handler",
        groups=[
            StatsGroup("shop.mail:send_confirmation", 988, 18, 0, 1_302, 5_400, 41.0),
            StatsGroup("shop.billing:charge", 253, 0, 3, 8, 5_400, 120.0),
            StatsGroup(HOSTILE, 1, 0, 0, 0, 1, None, 3.5),
        ],
        workers=1,
    )
    return replace(found, **fields)


def worker(owner: str, state: Any = "alive", **fields: Any) -> WorkerStatus:
    """Return a worker."""
    found = WorkerStatus(
        owner=owner,
        state=state,
        open=4,
        host="api-3",
        pid=4121,
        started_at=BEGAN,
        beat_at=NOW - timedelta(seconds=3),
        silent_s=3.0,
        lease=30.0,
    )
    return replace(found, **fields)


WORKERS = (
    worker("api-9:77:gone", "gone", open=37, host=None, pid=None, started_at=None, beat_at=None, silent_s=None),
    worker("api-3:4121:ab", running=(RunningDelivery("shop.mail:send_confirmation", "e-1", NOW - 2 * MINUTE),)),
    worker(HOSTILE, "silent", silent_s=95.0, open=0, running=()),
)


def trace() -> Trace:
    """Return a chain: an order, what its handlers published, and what died of it."""
    first, second = HISTORY[0]["event_id"], HISTORY[1]["event_id"]
    failed = Failure("CardExpired", f"card {HOSTILE}", BEGAN, 20)
    delivery = Delivery.new(["shop.stock:reserve", HOSTILE], at=BEGAN)
    done, dead = delivery.handlers
    handlers: tuple[HandlerDelivery, ...] = (
        replace(done, state="done", attempts=1, took_ms=12.0),
        replace(dead, state="dead", attempts=20, errors=(failed,)),
    )
    link = Link(1, first, "order.placed", "acme", BEGAN, None, None)
    below = Link(2, second, "stock.reserved", "acme", BEGAN + timedelta(milliseconds=12), first, first)
    steps = (
        TraceStep("event", first, 0, link, None, replace(delivery, handlers=handlers, state="dead"), children=1),
        TraceStep("event", second, 1, below, "shop.stock:reserve", None, is_asked=True),
    )
    return Trace(second, first, steps, events=2, missing=())


class ConsoleLog(MemorySource):
    """Answers from memory; `stream` and `break_off` are what happens next.

    Args:
        records: the history, in its order.
        figures: the figures; an exception is raised.
    """

    def __init__(self, records: Sequence[Mapping[str, Any]] = HISTORY[:8], counted: Any = None) -> None:
        super().__init__()
        self.records = list(records)
        self.counted = figures() if counted is None else counted
        self.asked: list[EventFilter] = []
        self.pages: list[bool] = []
        self._changes: asyncio.Queue[Block | BaseException | None] = asyncio.Queue()

    def stream(self, *records: Mapping[str, Any], endings: Sequence[Ending] = ()) -> None:
        """Have records stored, and deliveries end, while the console looks."""
        self.records += records
        self._changes.put_nowait(Block(list(records), endings, is_live=True))

    def break_off(self, error: BaseException | None = None) -> None:
        """Lose the connection; with an error the stream ends by it."""
        self._changes.put_nowait(error)

    async def figures(self, chosen: EventFilter) -> Stats:
        self.asked.append(chosen)
        if isinstance(self.counted, Exception):
            raise self.counted
        found: Stats = self.counted
        return found

    async def workers(self) -> Sequence[WorkerStatus]:
        if isinstance(self.counted, Exception):
            raise self.counted
        return WORKERS

    async def event(self, event_id: str) -> dict[str, Any] | None:
        found = next((one for one in self.records if one.get("event_id") == event_id), None)
        return None if found is None else event_json.event_json(found)

    async def trace(self, event_id: str) -> Trace | None:
        return trace() if event_id in {step.event_id for step in trace().steps} else None

    async def live(self, chosen: EventFilter, observer: TailObserver) -> AsyncGenerator[Block, None]:
        self.asked.append(chosen)
        matching = [one for one in self.records if _is_chosen(one, chosen)]
        yield Block(matching[-200:])
        observer(WentLive())
        while True:
            match await self._changes.get():
                case Block() as block:
                    observer(ConnectionResumed(1.0))
                    yield block
                case None:
                    observer(ConnectionLost(f"refused {HOSTILE}"))
                case error:
                    raise error

    async def page(self, chosen: EventFilter, *, is_older: bool, after: Any = None) -> HistoryPage:
        self.pages.append(is_older)
        matching = [one for one in self.records if _is_chosen(one, chosen)]
        if after is not None:
            matching = [one for one in matching if (_key(one) < after if is_older else _key(one) > after)]
        found = matching[::-1][:PAGE] if is_older else matching[:PAGE]
        key = _key(found[-1]) if found else after
        return HistoryPage(found, key, is_last=len(found) == len(matching), searched=len(found))


def many(number: int) -> list[dict[str, Any]]:
    """Return a long history."""
    return [record(n, payload={"number": n}) for n in range(number)]


def _is_chosen(one: Mapping[str, Any], chosen: EventFilter) -> bool:
    fields = chosen.chosen
    state = (one.get("delivery") or {}).get("state", "untracked")
    return (
        (not fields.tenants or one.get("tenant_id") in fields.tenants)
        and (not fields.states or state in fields.states)
        and (chosen.only is None or chosen.only(one, None))
    )


def _key(one: Mapping[str, Any]) -> Any:
    return key_in_history(one)
