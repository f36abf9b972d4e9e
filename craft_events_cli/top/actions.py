"""What the console may do to a log: the actions of the command line, each counted before it is agreed to.

Deliveries are run in a thread with an event loop of its own: a handler that blocks must not hold the screen, and what
belongs to a loop (the connection, the lease) ends with it.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from craft_easy.core.events.engine.report import Began, EventEnded, Notice
from craft_easy.core.events.model.figures import Counts
from craft_easy.core.events.operations import dead, pending
from craft_easy.core.events.operations.dead import Choice, Touched
from craft_easy.core.events.redispatch import RedispatchOptions, redispatch
from craft_easy.core.events.redispatch.backlog import count
from craft_easy.core.events.redispatch.event_ids import EventIds, count_named, look_up, redispatch_named
from craft_events_cli.actions.dead import DiscardAction, RetryAction
from craft_events_cli.connection import log_name, opened
from craft_events_cli.output.counts import counted
from craft_events_cli.output.dead import headline
from craft_events_cli.output.redispatch import headline as delivered_text
from craft_events_cli.terminal import Output

if TYPE_CHECKING:
    from craft_easy.core.events.bus import EventBus
    from craft_easy.core.events.model.selection import Selection
    from craft_easy.core.events.settings import Settings
    from craft_easy.core.events.store import EventStore

T = TypeVar("T")
Progress = Callable[[int], None]
"""Called with the number of deliveries that are done so far."""

STOP_S: Final = 15.0
"""Seconds that a delivery which was stopped gets to end: its handlers have their grace."""


class ConsoleAction(ABC):
    """An action on a choice of deliveries, before it is agreed to."""

    verb: ClassVar[str]
    needs_reason: ClassVar[bool] = False

    @abstractmethod
    async def question(self) -> str | None:
        """Count, and return the sentence that states the effect; None where there is nothing to act on."""

    @abstractmethod
    async def run(self, reason: str, progress: Progress) -> str:
        """Act on no more than was counted, and return the result in a line; a cancellation stops it."""


class RetryDead(ConsoleAction):
    """Gives dead deliveries a fresh budget."""

    verb = "retry"

    def __init__(self, store: EventStore, choice: Choice) -> None:
        self._action = RetryAction(store, choice, Output.TABLE)
        self._agreed: Touched | None = None

    async def question(self) -> str | None:
        self._agreed = await self._action.count()
        found = self._action.question(self._agreed)
        return None if found is None else found.text

    async def run(self, reason: str, progress: Progress) -> str:
        touched = await self._action.change_agreed(self._agreed, _counting(progress))
        return headline(self._action.outcome, self._action.meant, touched)


class DiscardUnfinished(ConsoleAction):
    """Skips deliveries, with a reason."""

    verb = "discard"
    needs_reason = True

    def __init__(self, store: EventStore, choice: Choice, *, is_pending: bool) -> None:
        self._store = store
        self._choice = choice
        self._is_pending = is_pending
        self._agreed: Touched | None = None

    async def question(self) -> str | None:
        action = self._action("")
        self._agreed = await action.count()
        found = action.question(self._agreed)
        if found is None or not self._is_pending:
            return None if found is None else found.text
        return f"{found.text} Dead deliveries of the handler are included."

    async def run(self, reason: str, progress: Progress) -> str:
        action = self._action(reason)
        touched = await action.change_agreed(self._agreed, _counting(progress))
        return headline(action.outcome, action.meant, touched)

    def _action(self, reason: str) -> DiscardAction:
        return DiscardAction(self._store, self._choice, Output.TABLE, reason=reason, pending=self._is_pending)


class DeliverNow(ConsoleAction):
    """Runs the handlers of pending deliveries here and now; dead ones get a fresh budget first."""

    verb = "deliver"

    def __init__(self, settings: Settings, bus: EventBus, choice: Choice, *, is_pending: bool) -> None:
        self._settings = settings
        self._bus = bus
        self._choice = choice if choice.handlers else replace(choice, handlers=_loaded(bus))
        self._is_pending = is_pending
        self._options = RedispatchOptions(handlers=self._choice.handlers, now=True, wait=False)
        self._agreed: Touched | None = None

    async def question(self) -> str | None:
        counts = await in_own_loop(self._count if self._is_pending else self._count_dead)
        if not counts.deliveries:
            return None
        is_one = counts.deliveries == 1
        what = f"{counted(counts.deliveries, 'delivery', 'deliveries')} of {counted(counts.events, 'event')}"
        fresh = "" if self._is_pending else f"{'gets' if is_one else 'get'} a fresh budget and "
        verb = "is" if is_one else "are"
        return f"{what} {fresh}{verb} delivered now, by the handlers that are loaded in this console."

    async def run(self, reason: str, progress: Progress) -> str:
        loop = asyncio.get_running_loop()

        def report(done: int) -> None:
            loop.call_soon_threadsafe(progress, done)

        return await in_own_loop(lambda: self._deliver(report))

    async def _count(self) -> Counts:
        async with self._connected() as store:
            meant = await self._meant(store)
            if isinstance(meant, EventIds):
                return await count_named(self._bus, meant, self._options)
            return await count(self._bus, meant, self._options)

    async def _count_dead(self) -> Counts:
        async with opened(self._settings) as store:
            self._agreed = await dead.count(store, self._choice)
            return self._agreed.counts

    async def _deliver(self, report: Progress) -> str:
        async with self._connected() as store:
            meant = await self._meant(store) if self._is_pending else await self._retried(store)
            stop = asyncio.Event()
            follow = _Followed(report)
            try:
                working = self._redispatch(meant, follow, stop)
                return delivered_text(await _until_cancelled(working, stop), None)
            finally:
                stop.set()

    async def _redispatch(self, meant: Selection | EventIds, follow: _Followed, stop: asyncio.Event) -> Any:
        if isinstance(meant, EventIds):
            return await redispatch_named(self._bus, meant, self._options, observer=follow, stop=stop)
        return await redispatch(self._bus, meant, self._options, observer=follow, stop=stop)

    async def _meant(self, store: EventStore) -> Selection | EventIds:
        choice = self._choice
        if choice.cause is None and not choice.event_ids:
            return choice.selection
        if choice.cause is None:
            return await look_up(store, choice.selection, choice.event_ids)
        async with aclosing(pending.deliveries(store, choice)) as each:
            ids = [one.event_id async for one in each]
        return await look_up(store, choice.selection, ids)

    async def _retried(self, store: EventStore) -> EventIds:
        ids: list[str] = []
        assert self._agreed is not None
        as_agreed = replace(self._choice, as_of=self._agreed.last_death)
        await dead.retry(store, as_agreed, on_stored=lambda one: ids.append(one.event_id))
        return await look_up(store, replace(self._choice.selection, since=None, until=None), ids)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[EventStore]:
        async with opened(self._settings) as store:
            self._bus.configure_store(store)
            try:
                yield store
            finally:
                await self._bus.aclose()


class ConsoleActions:
    """The actions of the console on one log.

    Args:
        settings: where the log is, and whether its environment is protected.
        store: the log.
        bus: the handlers that are loaded; None where no module is named.
    """

    def __init__(self, settings: Settings, store: EventStore, bus: EventBus | None = None) -> None:
        environment = settings.environment
        self.log_name = log_name(settings)
        self.protected = environment.name if environment is not None and environment.is_protected else None
        """The name to type before anything is done; None where the environment is not protected."""
        self._settings = settings
        self._store = store
        self._bus = bus

    @property
    def can_deliver(self) -> bool:
        """True if handlers are loaded."""
        return self._bus is not None

    def is_loaded(self, handler: str) -> bool:
        """Return whether a handler of this id is loaded."""
        return self._bus is not None and self._bus.registry.handler(handler) is not None

    def retry(self, choice: Choice) -> ConsoleAction:
        """Return the retry of dead deliveries."""
        return RetryDead(self._store, choice)

    def discard(self, choice: Choice, *, is_pending: bool) -> ConsoleAction:
        """Return the discard of dead deliveries, or of pending ones too."""
        return DiscardUnfinished(self._store, choice, is_pending=is_pending)

    def deliver(self, choice: Choice, *, is_pending: bool) -> ConsoleAction:
        """Return the delivery of pending deliveries, or of dead ones, by the handlers that are loaded."""
        assert self._bus is not None
        return DeliverNow(self._settings, self._bus, choice, is_pending=is_pending)


class _Followed:
    """Counts the events whose deliveries have ended."""

    def __init__(self, report: Progress) -> None:
        self._report = report
        self._done = 0

    def __call__(self, notice: Notice) -> None:
        match notice:
            case EventEnded():
                self._done += 1
                self._report(self._done)
            case Began():
                self._report(0)
            case _:
                pass


async def in_own_loop(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run work in a thread with an event loop of its own; a cancelled one may still end with a result."""
    here = asyncio.get_running_loop()
    result: asyncio.Future[T] = here.create_future()
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[T]]] = []

    async def run() -> T:
        task = asyncio.ensure_future(work())
        running.append((asyncio.get_running_loop(), task))
        return await task

    def thread() -> None:
        try:
            value = asyncio.run(run())
        except BaseException as error:  # noqa: BLE001 - it is raised where it is awaited
            _settle(here, result, error=error)
        else:
            _settle(here, result, value=value)

    threading.Thread(target=thread, name="deliver", daemon=True).start()
    try:
        return await asyncio.shield(result)
    except asyncio.CancelledError:
        for loop, task in running:
            loop.call_soon_threadsafe(task.cancel)
        done, _ = await asyncio.wait([result], timeout=STOP_S)
        if not done:
            raise
        return result.result()


def _settle(loop: asyncio.AbstractEventLoop, result: asyncio.Future[T], **outcome: Any) -> None:
    def settle() -> None:
        if result.done():
            return
        if "error" in outcome:
            error = outcome["error"]
            result.set_exception(error if isinstance(error, Exception) else RuntimeError(f"stopped: {error!r}"))
        else:
            result.set_result(outcome["value"])

    loop.call_soon_threadsafe(settle)


async def _until_cancelled(work: Coroutine[Any, Any, T], stop: asyncio.Event) -> T:
    """Await work that ends by itself once `stop` is set, which a cancellation does."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.set()
        return await task


def _counting(progress: Progress) -> Callable[[object], None]:
    done = 0

    def count_one(_: object) -> None:
        nonlocal done
        done += 1
        progress(done)

    return count_one


def _loaded(bus: EventBus) -> tuple[str, ...]:
    return tuple(bus.registry.patterns())
