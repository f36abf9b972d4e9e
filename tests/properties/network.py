"""A scripted network: each call of a process to the log waits here until its fate is decided."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar

from craft_easy.core.events.errors import StoreUnavailable

T = TypeVar("T")


class Fate(Enum):
    """The fate of a call."""

    ARRIVES = "arrives"
    REPLY_LOST = "its reply is lost"
    LOST = "it is lost"
    LATE = "its caller gives it up, and it stays on its way"


@dataclass(frozen=True)
class Course:
    """The fate of a task's calls: some arrive, then one gets `then`; with None that one stays on its way."""

    arrive: int = 1_000
    then: Fate | None = None


@dataclass(eq=False)
class Request:
    """A call on its way: an operation on the log, or the start of a block of the caller's own."""

    wire: Wire
    task: asyncio.Task[Any]
    author: str
    operation: Callable[[], Any] | None
    reply: asyncio.Future[Any]

    @property
    def is_given_up(self) -> bool:
        return self.operation is not None and self.reply.done()

    def give_up(self) -> None:
        if not self.reply.done():
            self.reply.set_exception(StoreUnavailable("nothing is known of it"))

    def arrive(self, *, is_answered: bool) -> None:
        if self.operation is None:
            self.reply.set_result(is_answered)
            return
        result = self.operation()
        if is_answered and not self.reply.done():
            self.reply.set_result(result)
        self.give_up()


@dataclass(eq=False)
class Wire:
    """The connection of one process to the log."""

    network: Network
    is_dead: bool = False

    async def send(self, operation: Callable[[], T]) -> T:
        """Execute an operation on the log on arrival, and return the reply."""
        reply: asyncio.Future[T] = self.network.queue(self, operation)
        return await reply

    @asynccontextmanager
    async def call(self) -> AsyncIterator[None]:
        """Start a block that talks to a real server on arrival, and drop its reply if that is lost."""
        is_answered = await self.network.queue(self, None)
        yield
        if self.is_dead:
            raise asyncio.CancelledError
        if not is_answered:
            raise StoreUnavailable("nothing is known of it")


@dataclass(eq=False)
class Network:
    """Delays every call until the machine decides about it.

    Args:
        loop: the loop of the processes; between two decisions all of them stand still.
        on_arrival: called with the author of each call that arrived.
    """

    loop: asyncio.AbstractEventLoop
    on_arrival: Callable[[str], None] = lambda author: None
    pending: list[Request] = field(default_factory=list)
    _authors: dict[asyncio.Task[Any], str] = field(default_factory=dict)
    _stirred: asyncio.Future[None] | None = None

    def queue(self, wire: Wire, operation: Callable[[], Any] | None) -> asyncio.Future[Any]:
        task = asyncio.current_task()
        assert task is not None
        request = Request(wire, task, self._authors[task], operation, self.loop.create_future())
        self.pending.append(request)
        self._stir()
        return request.reply

    def run(self, work: Coroutine[Any, Any, None], author: str, course: Course | None = None) -> None:
        """Start a task of a process and apply the fates to its calls; the remaining ones wait here."""
        course = course or Course()
        task = self.loop.create_task(work)
        self._authors[task] = author
        self._until_it_waits(task)
        arrived = 0
        while (request := self._of(task)) is not None:
            if arrived == course.arrive:
                if course.then is not None:
                    self.decide(request, course.then)
                return
            self.decide(request, Fate.ARRIVES)
            arrived += 1

    def decide(self, request: Request, fate: Fate) -> None:
        """Apply a fate to a call, and let its caller continue to the next one."""
        if fate is not Fate.LATE or request.operation is None:
            self.pending.remove(request)
        was_given_up = request.is_given_up
        arrives = fate in (Fate.ARRIVES, Fate.REPLY_LOST) or (fate is Fate.LATE and request.operation is None)
        if arrives:
            request.arrive(is_answered=fate is Fate.ARRIVES)
        elif request.operation is None and request.wire.is_dead:
            request.task.cancel()
        else:
            request.give_up()
        if not was_given_up:
            self._until_it_waits(request.task)
        if arrives:
            self.on_arrival(request.author)

    def finish(self, request: Request) -> None:
        """Let all remaining calls of a task arrive."""
        self.decide(request, Fate.ARRIVES)
        while (following := self._of(request.task)) is not None:
            self.decide(following, Fate.ARRIVES)

    def kill(self, wire: Wire) -> None:
        """End a process; its sent calls are still on their way."""
        wire.is_dead = True
        for request in [one for one in self.pending if one.wire is wire and one.operation is not None]:
            request.task.cancel()
            self._until_it_waits(request.task)

    def close(self) -> None:
        """Drop everything; a cancelled task may have something to clean up first."""
        while self.pending:
            request = self.pending.pop()
            request.task.cancel()
            self._until_it_waits(request.task)

    def _of(self, task: asyncio.Task[Any]) -> Request | None:
        waiting = (one for one in self.pending if one.task is task and not one.is_given_up)
        return None if task.done() else next(waiting, None)

    def _until_it_waits(self, task: asyncio.Task[Any]) -> None:
        if not task.done():
            self._stirred = self.loop.create_future()
            task.add_done_callback(lambda _: self._stir())
            self.loop.run_until_complete(self._stirred)
        if task.done():
            self._authors.pop(task, None)
            if not task.cancelled():
                task.result()

    def _stir(self) -> None:
        if self._stirred is not None and not self._stirred.done():
            self._stirred.set_result(None)
