"""A worker: one event loop of one process, with an identity, a lease and the database's clock.

A thread renews the lease with heartbeats, and reads with each which handlers are paused. It has a client of its own,
so that a handler that blocks the loop does not lose the lease; it stops while the loop has not answered for too long,
so that a process that hangs does lose it.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import socket
import threading
import weakref
from collections.abc import Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from craft_easy.core.events import hooks
from craft_easy.core.events.clock import steady
from craft_easy.core.events.engine.pauses import KnownPauses
from craft_easy.core.events.engine.watchdog import RunningHandlers, Watchdog
from craft_easy.core.events.errors import StoreError, StoreUnavailable
from craft_easy.core.events.model.pause import Pause
from craft_easy.core.events.store.worker_registry import RunningDelivery

log: Final = logging.getLogger("craft_easy.core.events")

BEATS_A_LEASE: Final = 3
TRIES_A_LEASE: Final = 10
LEAVING_S: Final = 2.0
"""Seconds that the end of a worker waits until the registry has it no more."""
MAX_RUNNING: Final = 10
"""The maximum number of running deliveries that a heartbeat names, the longest running first."""


class HeartbeatChannel(Protocol):
    """The access of the heartbeat thread to the registry; each call ends in time or raises."""

    def beat(self, owner: str, running: Sequence[RunningDelivery]) -> datetime | None: ...
    def pauses(self) -> tuple[Pause, ...]: ...
    def end(self, owner: str) -> None: ...
    def close(self) -> None: ...


class WorkerDirectory(Protocol):
    """The registry of workers; each call ends within the store's timeout or raises `StoreUnavailable`."""

    async def register(self, owner: str, *, lease: float) -> datetime: ...
    async def beat(self, owner: str) -> datetime | None: ...
    async def remove(self, owner: str) -> None: ...
    async def pauses(self) -> tuple[Pause, ...]: ...
    def channel(self, *, timeout: float) -> HeartbeatChannel: ...


@dataclass(frozen=True, slots=True, eq=False)
class Heartbeat:
    """An acknowledged heartbeat: stored at `at` by the database's clock, between `sent` and `received` by our own.

    The lease is counted from `sent` and the database's time from `received`, so that each errs on the safe side.
    """

    sent: float
    received: float
    at: datetime


def new_owner() -> str:
    """Return a new identity: host, process and 48 random bits."""
    return f"{socket.gethostname()}:{os.getpid()}:{os.urandom(6).hex()}"


class Worker:
    """Registers an identity and renews its lease until it is stopped.

    Args:
        registry: the registry of workers.
        lease: seconds without a heartbeat after which other workers may take over.
    """

    def __init__(self, registry: WorkerDirectory, *, lease: float) -> None:
        self._registry = registry
        self._loop = asyncio.get_running_loop()
        self._pid = os.getpid()
        self._renewing: asyncio.Task[None] | None = None
        self._thread: HeartbeatThread | None = None
        self._beat: Heartbeat | None = None
        self._is_refused = False
        self._latest: datetime | None = None
        self.lease = lease
        self.owner = new_owner()
        self.unanswered = 0
        """The number of heartbeats without a reply so far; while it does not change, the log was reachable."""
        self.pauses = KnownPauses(self.now)
        self.running_handlers = RunningHandlers()
        self.watchdog = Watchdog(
            self.running_handlers,
            limit=lambda: self.hang_limit,
            consequence="the lease is not renewed any more, and others take over what this process owns",
        )
        self.on_beat: Callable[[], None] = lambda: None
        """Called on the loop after each heartbeat that was answered."""

    @property
    def is_current(self) -> bool:
        """True if the worker belongs to this process and its loop is open; a forked process needs a new worker."""
        return self._pid == os.getpid() and not self._loop.is_closed()

    @property
    def may_start(self) -> bool:
        """True if a handler may start: the lease, counted from the sending of the last heartbeat, has not expired."""
        return self._beat is not None and not self._is_refused and steady() - self._beat.sent <= self.lease

    @property
    def heartbeat_age(self) -> float | None:
        """The seconds since the last accepted heartbeat was sent, in any thread; None before the first."""
        beat = self._beat
        return None if beat is None else steady() - beat.sent

    @property
    def hang_limit(self) -> float:
        """The seconds for which a handler may keep the loop from answering."""
        return max(self.lease, self.running_handlers.longest)

    # the database's time

    def now(self) -> datetime:
        """Return the database's time in whole milliseconds, computed from the last heartbeat; it never goes back.

        It is behind by at most the time that the reply to that heartbeat took, and never ahead.
        """
        beat = self._last_beat()
        at = beat.at + _milliseconds(steady() - beat.received)
        self._latest = at if self._latest is None else max(at, self._latest)
        return self._latest

    def not_before(self) -> datetime:
        """Return a time at least a millisecond ahead of the database's clock; `now` reaches it soon.

        Every time that a worker stored before this call, by its `now`, is earlier.
        """
        beat = self._last_beat()
        return max(self.now(), beat.at + _milliseconds(steady() - beat.sent)) + _milliseconds(0.001)

    def running(self) -> list[RunningDelivery]:
        """Return the longest running deliveries, in any thread; their times are the database's."""
        beat = self._beat
        if beat is None:
            return []
        return [
            RunningDelivery(one.handler_id, one.event_id, beat.at + _milliseconds(one.since - beat.received))
            for one in self.running_handlers.longest_running(MAX_RUNNING)
        ]

    def _last_beat(self) -> Heartbeat:
        if self._beat is None:
            raise RuntimeError("the worker is not registered yet: await ready() first")
        return self._beat

    # the lease

    async def ready(self) -> str:
        """Return the owner id as soon as this worker may start handlers.

        It registers if it never has, or if its last heartbeat was refused, then under a new identity. A worker
        whose lease may have expired sends a heartbeat. Both read which handlers are paused. All waiting callers share
        one attempt, and fail with it.

        Raises:
            StoreUnavailable: the log did not answer within the store's timeout.
        """
        while not self.may_start or self.pauses.stored is None:
            if self._renewing is None or self._renewing.done():
                # in a context of its own: the deadline of the first caller is not that of the others
                self._renewing = self._loop.create_task(self._renew(), name="renew the lease", context=Context())
                self._renewing.add_done_callback(_retrieve)
            await asyncio.shield(self._renewing)
        return self.owner

    async def _renew(self) -> None:
        if self._beat is None or self._is_refused:
            await self._register()
        elif not self.may_start:
            await self.confirm()
        await self._read_pauses()

    async def _read_pauses(self) -> None:
        """Read which handlers are paused; where that fails, those that were read before stay paused."""
        try:
            self.pauses.stored = await self._registry.pauses()
        except StoreError as error:
            if self.pauses.stored is not None:
                log.debug("the paused handlers could not be read: %s", error)
                return
            if isinstance(error, StoreUnavailable):
                raise
            log.warning("the paused handlers cannot be read, so no handler is paused in this process: %s", error)
            self.pauses.stored = ()

    async def _register(self) -> None:
        owner, sent = new_owner() if self._is_refused else self.owner, steady()
        try:
            at = await self._registry.register(owner, lease=self.lease)
        except BaseException:
            self.owner = new_owner()  # the old one may have been entered, and may be fenced before the next try
            raise
        self._beat = Heartbeat(sent, steady(), at)
        self.owner, self._is_refused = owner, False
        if self._thread is None:
            self._thread = HeartbeatThread(self, self._registry.channel(timeout=self.lease / TRIES_A_LEASE))
            self._thread.start()

    async def confirm(self) -> bool:
        """Wait until the majority acknowledges one more write, so that no earlier write can be rolled back.

        Returns whether the heartbeat was accepted.

        Raises:
            StoreUnavailable: the log did not answer within the store's timeout.
        """
        owner, sent = self.owner, steady()
        at = await self._registry.beat(owner)
        self.on_heartbeat(owner, sent, at)
        return at is not None

    def on_heartbeat(self, owner: str, sent: float, at: datetime | None) -> None:
        """Process the reply to a heartbeat, in any thread; None is a refusal."""
        if owner != self.owner:
            return
        if at is None:
            self._is_refused = True
        elif self._beat is None or sent > self._beat.sent:
            self._beat = Heartbeat(sent, steady(), at)
        self._loop.call_soon_threadsafe(lambda: self.on_beat())

    async def stop(self) -> None:
        """Stop the heartbeats and leave the registry: the records that are still owned are free at once.

        Where the log does not answer soon the records are free when the lease ends. The worker keeps its time, for the
        handlers that still end; `ready` makes it a new worker.
        """
        if self._thread is not None:
            thread, self._thread = self._thread, None
            thread.stop()
            await asyncio.to_thread(thread.join, LEAVING_S)
        self._is_refused = True


def _retrieve(task: asyncio.Task[None]) -> None:
    """Retrieve the exception of a task for which no caller may be waiting any more."""
    if not task.cancelled():
        task.exception()


def _milliseconds(seconds: float) -> timedelta:
    return timedelta(milliseconds=int(seconds * 1000))


_THREADS: Final[weakref.WeakSet[HeartbeatThread]] = weakref.WeakSet()


class HeartbeatThread(threading.Thread):
    """Renews one worker's lease every third of it; after a heartbeat that failed it tries again sooner.

    Each heartbeat also reads the paused handlers.
    """

    def __init__(self, worker: Worker, channel: HeartbeatChannel) -> None:
        super().__init__(name=f"beat {worker.owner}", daemon=True)
        self._worker = worker
        self._channel = channel
        self._stopped = threading.Event()
        _THREADS.add(self)

    def stop(self) -> None:
        """Ask the thread to take its worker out of the registry and to end."""
        self._stopped.set()

    def run(self) -> None:
        watchdog, wait = self._worker.watchdog, self._worker.lease / BEATS_A_LEASE
        while not self._stopped.wait(wait) and watchdog.ask():
            is_missed = watchdog.check() and not self.beat()
            wait = self._worker.lease / (TRIES_A_LEASE if is_missed else BEATS_A_LEASE)
        self._leave()

    def beat(self) -> bool:
        """Send one heartbeat and return whether it was answered."""
        owner, sent = self._worker.owner, steady()
        try:
            hooks.kill_point("beat.sent")
            at = self._channel.beat(owner, self._worker.running())
            hooks.kill_point("beat.acknowledged")
        except Exception as error:  # noqa: BLE001 - the next try follows after any error
            log.debug("a heartbeat of %s failed: %s", owner, type(error).__name__)
            self._worker.unanswered += 1
            return False
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._worker.on_heartbeat(owner, sent, at)
        self._read_pauses()
        return True

    def _read_pauses(self) -> None:
        try:
            self._worker.pauses.stored = self._channel.pauses()
        except Exception as error:  # noqa: BLE001 - the last known pauses hold
            log.debug("%s could not read the paused handlers: %s", self._worker.owner, type(error).__name__)

    def _leave(self) -> None:
        try:
            self._channel.end(self._worker.owner)
        except Exception as error:  # noqa: BLE001 - then the lease runs out instead
            log.debug("%s could not leave the registry: %s", self._worker.owner, type(error).__name__)
        self._channel.close()


def _end_with_the_process() -> None:
    threads = [thread for thread in _THREADS if thread.is_alive()]
    for thread in threads:
        thread.stop()
    for thread in threads:
        thread.join(timeout=1.0)


atexit.register(_end_with_the_process)
