"""Handlers and observers that record what a redispatch or a replay runs."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable

from craft_easy.core.events import DomainEvent
from craft_easy.core.events.engine.report import AwaitedWorker, Began, DeliveryReport, EventEnded, Notice, WaitingFor

Handler = Callable[[DomainEvent], Awaitable[None]]


class Recorder:
    """An observer that stores the notices of a run."""

    def __init__(self) -> None:
        self.reports: list[DeliveryReport] = []
        self.waiting: list[AwaitedWorker] = []
        self.events: int | None = -1
        self.ends = 0

    def __call__(self, notice: Notice) -> None:
        match notice:
            case Began(events=events):
                self.events = events
            case DeliveryReport():
                self.reports.append(notice)
            case EventEnded():
                self.ends += 1
            case WaitingFor(workers=workers):
                self.waiting.extend(workers)


class Ran:
    """Handlers that record their runs: how often, in which order, and how many at once."""

    def __init__(self) -> None:
        self.runs: Counter[tuple[str, str]] = Counter()
        self.order: list[str] = []
        self.by_tenant: defaultdict[str | None, list[str]] = defaultdict(list)
        self.most = self.now = 0

    def handler(self, name: str) -> Handler:
        """Return a handler whose runs are counted under a name."""

        async def handle(event: DomainEvent) -> None:
            self.runs[name, event.event_id] += 1
            self.now += 1
            self.most = max(self.most, self.now)
            await asyncio.sleep(0)
            self.order.append(event.event_id)
            self.by_tenant[event.tenant_id].append(event.event_id)
            self.now -= 1

        return handle
