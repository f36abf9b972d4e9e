"""Group commit of appends: what concurrent callers store goes out with one write.

No timer: a lone record goes at once. While a write is under way the records of all who call meanwhile gather for the
next one, in the order of their calls; one write is under way at a time, so that the log has them in this order too.
(DeWitt et al., "Implementation Techniques for Main Memory Database Systems", SIGMOD 1984.)
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextvars import Context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from craft_easy.core.events.store import inserting
from craft_easy.core.events.store.inserting import InsertResult, Parcel, Record

if TYPE_CHECKING:
    from craft_easy.core.events.store.event_store import EventStore


@dataclass(eq=False, slots=True)
class _Request:
    """The records of one caller: those that are not sent yet, and what became of the others."""

    unsent: deque[Parcel]
    count: int
    answer: asyncio.Future[list[InsertResult]]
    results: list[InsertResult] = field(default_factory=list)

    def take_in(self, results: Sequence[InsertResult]) -> None:
        self.results += results
        if len(self.results) == self.count and not self.answer.done():
            self.answer.set_result(self.results)

    def fail(self, error: BaseException) -> None:
        self.unsent.clear()
        if not self.answer.done():
            self.answer.set_exception(error)


@dataclass(slots=True)
class _Room:
    """What one write holds; whatever its size, a first record fits."""

    records: int = 0
    size: int = 0

    def takes(self, parcel: Parcel) -> bool:
        is_full = self.records == inserting.MAX_RECORDS or self.size + parcel.size > inserting.MAX_BYTES
        if self.records and is_full:
            return False
        self.records += 1
        self.size += parcel.size
        return True


class Appender:
    """Stores the records of all who call on one event loop.

    Args:
        store: whose log it is.
        is_mock: it lives in memory, and takes no bytes.
    """

    def __init__(self, store: EventStore, *, is_mock: bool = False) -> None:
        self._store = store
        self._is_raw = not is_mock
        self._requests: deque[_Request] = deque()
        self._task: asyncio.Task[None] | None = None

    async def append(self, records: Sequence[Record]) -> list[InsertResult]:
        """Store records and return what became of each, in the same order.

        A caller who is cancelled takes back what was not sent yet; of what is on its way nothing is known then.

        Raises:
            InvalidEvent: a record is too large; none of the call is stored.
            StoreUnavailable: nothing is known of the last thousand; the same call may be made again.
        """
        if not records:
            return []
        loop = asyncio.get_running_loop()
        unsent = deque([inserting.parcel(record, raw=self._is_raw) for record in records])
        request = _Request(unsent, len(records), loop.create_future())
        self._requests.append(request)
        if self._task is None or self._task.done():
            # in a context of its own: the deadline or the delivery of the first caller is not that of the others
            self._task = loop.create_task(self._run(), name="append events", context=Context())
        try:
            return await request.answer
        finally:
            request.unsent.clear()

    async def _run(self) -> None:
        while chunk := self._take():
            try:
                await self._send(chunk)
            except BaseException as error:
                broken = error if isinstance(error, Exception) else asyncio.CancelledError()
                for request, _ in chunk:
                    request.fail(broken)
                if not isinstance(error, Exception):
                    self._give_up()
                    raise

    def _take(self) -> list[tuple[_Request, list[Parcel]]]:
        """Return the next write: for each caller the records of it that fit in."""
        chunk: list[tuple[_Request, list[Parcel]]] = []
        room = _Room()
        while self._requests:
            request = self._requests[0]
            taken: list[Parcel] = []
            while request.unsent and room.takes(request.unsent[0]):
                taken.append(request.unsent.popleft())
            if taken:
                chunk.append((request, taken))
            if request.unsent:
                break
            self._requests.popleft()
        return chunk

    async def _send(self, chunk: Sequence[tuple[_Request, list[Parcel]]]) -> None:
        results = await inserting.insert(self._store, [parcel for _, taken in chunk for parcel in taken])
        first = 0
        for request, taken in chunk:
            request.take_in(results[first : first + len(taken)])
            first += len(taken)

    def _give_up(self) -> None:
        """Let the callers of a loop that is closing go."""
        while self._requests:
            self._requests.popleft().fail(asyncio.CancelledError())
