"""A worker: one event loop of one process, as the log knows it.

It has an identity, a lease that a thread renews, and the database's clock. The thread has a client of its own, so that
a handler that blocks the loop does not lose the lease; it pauses while the loop has not answered for long, so that a
process that hangs does lose it.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import socket
import sys
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import CodeType, FrameType
from typing import Final, Protocol

from craft_easy.core.events import hooks
from craft_easy.core.events.clock import steady

log: Final = logging.getLogger("craft_easy.core.events")

BEATS_A_LEASE: Final = 3
TRIES_A_LEASE: Final = 10
DEFAULT_LIMIT: Final = 15 * 60.0
"""Seconds that a handler may run when neither it nor the run names a limit."""


class HeartbeatChannel(Protocol):
    """The thread's own way to the registry; each call ends in time or raises."""

    def beat(self, owner: str) -> datetime | None: ...
    def end(self, owner: str) -> None: ...
    def close(self) -> None: ...


class WorkerDirectory(Protocol):
    """Where workers are entered."""

    async def register(self, owner: str, *, lease: float) -> datetime: ...
    async def beat(self, owner: str) -> datetime | None: ...
    async def remove(self, owner: str) -> None: ...
    def channel(self, *, timeout: float) -> HeartbeatChannel: ...


@dataclass(frozen=True, slots=True, eq=False)
class Heartbeat:
    """A beat that was acknowledged: stored at `at` of the database's clock, between `sent` and `received` of this one.

    The lease is counted from when it was sent, the time of day from when its reply came: each errs to the safe side.
    """

    sent: float
    received: float
    at: datetime


class RunningHandlers:
    """The handlers that run on one event loop, and the longest of their limits.

    A loop that does not answer for so long may be a handler at work; for longer, and it hangs.
    """

    def __init__(self) -> None:
        self._running: dict[object, tuple[str, CodeType | None]] = {}
        self._limits: dict[float, int] = {}
        self.longest = 0.0

    def begin(self, run: object, handler_id: str, code: CodeType | None, limit: float) -> None:
        """Note that a handler starts.

        Args:
            run: what stands for this run of it.
            handler_id: whose run it is.
            code: what its frames on a stack are known by.
            limit: seconds that it may take.
        """
        self._running[run] = handler_id, code
        self._limits[limit] = self._limits.get(limit, 0) + 1
        if limit > self.longest:
            self.longest = limit

    def end(self, run: object, limit: float) -> None:
        """Note that it has ended."""
        del self._running[run]
        left = self._limits[limit] - 1
        if left:
            self._limits[limit] = left
        else:
            del self._limits[limit]
            self.longest = max(self._limits, default=0.0)

    def whose(self, frame: FrameType | None) -> list[str]:
        """Return the handlers that a thread's stack shows at work, or else all that run."""
        names = list(self._running.values())
        while frame is not None:
            found = [name for name, code in names if code is frame.f_code]
            if found:
                return found
            frame = frame.f_back
        return sorted({name for name, _ in names})


def new_owner() -> str:
    """Return an identity that was never used before: host, process and 48 random bits."""
    return f"{socket.gethostname()}:{os.getpid()}:{os.urandom(6).hex()}"


class Worker:
    """Holds an identity in the registry and renews its lease until it is stopped.

    Args:
        registry: where workers are entered.
        lease: seconds of silence after which others may take over.
    """

    def __init__(self, registry: WorkerDirectory, *, lease: float) -> None:
        self._registry = registry
        self._loop = asyncio.get_running_loop()
        self._pid = os.getpid()
        self._changed = asyncio.Event()
        self._registering = asyncio.Lock()
        self._thread: HeartbeatThread | None = None
        self._beat: Heartbeat | None = None
        self._is_refused = False
        self._latest: datetime | None = None
        self._reckoned: tuple[Heartbeat | None, int] = None, 0
        self.lease = lease
        self.owner = new_owner()
        self.unanswered = 0
        """Beats that got no answer so far: the log was not reached at some time since this was less."""
        self.thread_id = threading.get_ident()
        self.running_handlers = RunningHandlers()
        self.on_beat: Callable[[], None] = lambda: None
        """Called on the loop after each beat that was answered."""
        self.on_hang: Callable[[str], None] = log.error
        """Called from the thread that beats, once, with a text that names what blocks the loop."""

    @property
    def is_current(self) -> bool:
        """Whether this is the process and the loop that the worker was made for: a fork makes a new one."""
        return self._pid == os.getpid() and not self._loop.is_closed()

    @property
    def may_start(self) -> bool:
        """Whether a handler may start: the lease, counted from when its last beat was sent, has not run out."""
        return self._beat is not None and not self._is_refused and steady() - self._beat.sent <= self.lease

    @property
    def starts_at(self) -> datetime | None:
        """The database's time, where a handler may start: `may_start` and `now` at one look; None where it may not."""
        beat = self._beat
        if beat is None or self._is_refused:
            return None
        seconds = steady()
        return self._reckon(beat, seconds) if seconds - beat.sent <= self.lease else None

    def now(self) -> datetime:
        """Return the database's time in whole milliseconds, reckoned from the last beat; it never goes back.

        It may be behind by as long as the reply to that beat took, and is never ahead.
        """
        return self._reckon(self._last_beat(), steady())

    def _reckon(self, beat: Heartbeat, seconds: float) -> datetime:
        elapsed_ms = int((seconds - beat.received) * 1000)
        if self._reckoned[1] != elapsed_ms or self._reckoned[0] is not beat:
            self._reckoned = beat, elapsed_ms
            at = beat.at + timedelta(milliseconds=elapsed_ms)
            if self._latest is None or at > self._latest:
                self._latest = at
        return self._latest or beat.at

    def not_before(self) -> datetime:
        """Return a time that the database's clock does not show yet, by a millisecond at least; `now` comes to it soon.

        What any worker noted before this call, by its `now`, is earlier.
        """
        beat = self._last_beat()
        return max(self.now(), beat.at + _milliseconds(steady() - beat.sent)) + _milliseconds(0.001)

    def _last_beat(self) -> Heartbeat:
        if self._beat is None:
            raise RuntimeError("the worker is not registered yet: await ready() first")
        return self._beat

    async def ready(self) -> str:
        """Wait until this worker may start handlers and return its owner id.

        It registers when it never did, or when its last beat was refused: then under a new identity. A worker that
        is silent waits for its thread's next beat.
        """
        while not self.may_start:
            if self._beat is None or self._is_refused:
                await self._register()
            else:
                self._changed.clear()
                await self._changed.wait()
        return self.owner

    async def _register(self) -> None:
        async with self._registering:
            if self.may_start:
                return
            owner = new_owner() if self._is_refused else self.owner
            sent = steady()
            try:
                at = await self._registry.register(owner, lease=self.lease)
            except BaseException:
                self.owner = new_owner()  # it may have been entered, and fenced before the next try
                raise
            self._beat = Heartbeat(sent, steady(), at)
            self.owner, self._is_refused = owner, False
            if self._thread is None:
                self._thread = HeartbeatThread(self, self._registry.channel(timeout=self.lease / TRIES_A_LEASE))
                self._thread.start()

    async def confirm(self) -> bool:
        """Have one more write acknowledged by the majority: what is read after it was not taken back."""
        owner, sent = self.owner, steady()
        at = await self._registry.beat(owner)
        self.on_heartbeat(owner, sent, at)
        return at is not None

    def on_heartbeat(self, owner: str, sent: float, at: datetime | None) -> None:
        """Take in the reply to a beat, in any thread; None is a refusal."""
        if owner != self.owner:
            return
        if at is None:
            self._is_refused = True
        elif self._beat is None or sent > self._beat.sent:
            self._beat = Heartbeat(sent, steady(), at)
        self._loop.call_soon_threadsafe(self._answered)

    def _answered(self) -> None:
        self._changed.set()
        self.on_beat()

    @property
    def hang_limit(self) -> float:
        """Seconds for which a loop that does not answer may be a handler at work."""
        return max(self.lease, self.running_handlers.longest)

    def hang(self) -> None:
        """Name what blocks the loop; called from the thread that beats."""
        frame = sys._current_frames().get(self.thread_id)  # noqa: SLF001 - the one way to see another thread's stack
        where = f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else "an unknown place"
        names = ", ".join(map(repr, self.running_handlers.whose(frame))) or "what runs there"
        self.on_hang(
            f"{names} blocks the event loop for more than {self.hang_limit:g} s, at {where}: "
            "the lease is not renewed any more, and others take over what this process owns"
        )

    async def stop(self) -> None:
        """Stop beating and leave the registry: whatever is still owned is free at once.

        It keeps its time, for what still ends; who asks whether it may start makes it a new worker.
        """
        if self._thread is not None:
            thread, self._thread = self._thread, None
            thread.stop()
            await asyncio.to_thread(thread.join)
        self._is_refused = True


def _milliseconds(seconds: float) -> timedelta:
    return timedelta(milliseconds=int(seconds * 1000))


_THREADS: Final[weakref.WeakSet[HeartbeatThread]] = weakref.WeakSet()


class HeartbeatThread(threading.Thread):
    """Renews one worker's lease every third of it; after a beat that failed it tries again at once."""

    def __init__(self, worker: Worker, channel: HeartbeatChannel) -> None:
        super().__init__(name=f"beat {worker.owner}", daemon=True)
        self._worker = worker
        self._loop = asyncio.get_running_loop()
        self._channel = channel
        self._stopped = threading.Event()
        self._answered = steady()
        self._is_hanging = False
        _THREADS.add(self)

    def stop(self) -> None:
        """Ask the thread to take its worker out of the registry and to end."""
        self._stopped.set()

    def run(self) -> None:
        wait = self._worker.lease / BEATS_A_LEASE
        while not self._stopped.wait(wait) and self._ask_the_loop():
            wait = self._worker.lease / BEATS_A_LEASE
            if not self._loop_answers:
                self._name_what_hangs()
            elif not self._try_to_beat():
                wait = self._worker.lease / TRIES_A_LEASE
        self._leave()

    def _name_what_hangs(self) -> None:
        if not self._is_hanging:
            self._is_hanging = True
            self._worker.hang()

    def _ask_the_loop(self) -> bool:
        try:
            self._loop.call_soon_threadsafe(self._answer)
        except RuntimeError:
            return False  # the loop is closed, and the worker ends with it
        return True

    def _answer(self) -> None:
        self._answered = steady()
        self._is_hanging = False

    @property
    def _loop_answers(self) -> bool:
        return steady() - self._answered <= self._worker.hang_limit

    def _try_to_beat(self) -> bool:
        owner, sent = self._worker.owner, steady()
        try:
            hooks.kill_point("beat.sent")
            at = self._channel.beat(owner)
            hooks.kill_point("beat.acknowledged")
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the next try follows
            log.debug("a beat of %s failed: %s", owner, type(error).__name__)
            self._worker.unanswered += 1
            return False
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            self._worker.on_heartbeat(owner, sent, at)
        return True

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
