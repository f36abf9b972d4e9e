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
from typing import TYPE_CHECKING

from craft_easy.core.events.store import inserting
from craft_easy.core.events.store.inserting import InsertResult, Record

if TYPE_CHECKING:
    from craft_easy.core.events.store.event_store import EventStore

Answer = asyncio.Future[InsertResult]


class Appender:
    """Stores the records of all who call on one event loop.

    Args:
        store: whose log it is.
        is_mock: it lives in memory, and takes no bytes.
    """

    def __init__(self, store: EventStore, *, is_mock: bool = False) -> None:
        self._store = store
        self._is_raw = not is_mock
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[InsertResult, Answer]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def append(self, records: Sequence[Record]) -> list[InsertResult]:
        """Store records and return what became of each, in the same order.

        A caller who is cancelled takes back what was not sent yet; of what is on its way nothing is known then.

        Raises:
            InvalidEvent: a record is too large; none of the call is stored.
            StoreUnavailable: nothing is known of some of them; the same call may be made again.
        """
        parcels = [inserting.encode_record(record, raw=self._is_raw) for record in records]
        return await asyncio.gather(*[self._queue(parcel) for parcel in parcels])

    def submit(self, record: Record) -> Answer:
        """Have a record stored, and return what will say what became of it; to cancel that in time takes it back.

        Raises:
            InvalidEvent: the record is too large.
        """
        return self._queue(inserting.encode_record(record, raw=self._is_raw))

    def _queue(self, parcel: InsertResult) -> Answer:
        answer: Answer = self._loop.create_future()
        self._waiting.append((parcel, answer))
        if self._task is None or self._task.done():
            # in a context of its own: the deadline or the delivery of the first caller is not that of the others
            self._task = self._loop.create_task(self._run(), name="append events", context=Context())
        return answer

    async def _run(self) -> None:
        while chunk := self._take():
            try:
                await inserting.insert(self._store, [parcel for parcel, _ in chunk])
            except Exception as error:  # noqa: BLE001 - it is each caller's
                for _, answer in chunk:
                    if not answer.done():
                        answer.set_exception(error)
            except BaseException:
                self._let_go(chunk)
                raise
            else:
                for parcel, answer in chunk:
                    if not answer.done():
                        answer.set_result(parcel)

    def _take(self) -> list[tuple[InsertResult, Answer]]:
        """Return what goes out with the next write; whatever its size, a first record does."""
        chunk: list[tuple[InsertResult, Answer]] = []
        size, waiting = 0, self._waiting
        while waiting and len(chunk) < inserting.MAX_RECORDS:
            parcel, answer = waiting[0]
            if not answer.done():
                size += parcel.size
                if chunk and size > inserting.MAX_BYTES:
                    break
                chunk.append((parcel, answer))
            waiting.popleft()
        return chunk

    def _let_go(self, chunk: Sequence[tuple[InsertResult, Answer]]) -> None:
        """Let the callers of a loop that is closing go."""
        for _, answer in (*chunk, *self._waiting):
            answer.cancel()
        self._waiting.clear()
