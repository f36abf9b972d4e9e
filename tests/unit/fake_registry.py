"""A registry of workers in memory, and a clock that stands still."""

import asyncio
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from craft_easy.core.events.model.pause import Pause
from craft_easy.core.events.store.worker_registry import RunningDelivery

START = datetime(2026, 1, 31, 10, tzinfo=UTC)
LEASE = 30.0


class FakeClock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


class FakeRegistry:
    """A registry in memory; its channel sends heartbeats on command, and fails or refuses on demand."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.entered: list[str] = []
        self.removed: list[str] = []
        self.refused: set[str] = set()
        self.beats = 0
        self.fails = False
        self.running: list[RunningDelivery] = []
        self.paused: tuple[Pause, ...] = ()
        self.pauses_error: Exception | None = None
        self.closed = threading.Event()

    def time(self) -> datetime:
        return START + timedelta(seconds=self.clock.time - 1000.0)

    async def register(self, owner: str, *, lease: float) -> datetime:
        self.entered.append(owner)
        return self.time()

    async def beat(self, owner: str) -> datetime | None:
        self.beats += 1
        if self.fails:
            raise ConnectionError("gone")
        return None if owner in self.refused else self.time()

    async def remove(self, owner: str) -> None:
        self.removed.append(owner)

    async def pauses(self) -> tuple[Pause, ...]:
        if self.pauses_error is not None:
            raise self.pauses_error
        return self.paused

    def channel(self, *, timeout: float) -> "FakeChannel":
        assert timeout == LEASE / 10
        return FakeChannel(self)


class FakeChannel:
    def __init__(self, registry: FakeRegistry) -> None:
        self._registry = registry

    def beat(self, owner: str, running: Sequence[RunningDelivery]) -> datetime | None:
        self._registry.running = list(running)
        return asyncio.run(self._registry.beat(owner))

    def pauses(self) -> tuple[Pause, ...]:
        return asyncio.run(self._registry.pauses())

    def end(self, owner: str) -> None:
        if self._registry.fails:
            raise ConnectionError("gone")
        self._registry.removed.append(owner)

    def close(self) -> None:
        self._registry.closed.set()
