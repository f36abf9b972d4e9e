"""Group commit: one write for the items of concurrent callers.

Without a timer: a lone item is written at once. While a write is under way, items are collected for the next one, in
the order of the calls; one write is under way at a time.
(DeWitt et al., "Implementation Techniques for Main Memory Database Systems", SIGMOD 1984.)
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

from craft_easy.core.events.errors import StoreUnavailable

Item = TypeVar("Item")
Result = TypeVar("Result")


class GroupCommit(Generic[Item, Result]):
    """Writes the items of all callers on one event loop in groups.

    If a write raises `StoreUnavailable`, every item that was submitted before its end fails with the same error, so
    that no caller waits for the sum of several deadlines. Any other error fails the items of that write alone.

    Args:
        write: stores items and returns a result for each, in the same order; it has its own deadline.
        name: the name of the task that writes.
        max_items: the maximum number of items in one write.
        max_bytes: the maximum size of one write; a single larger item is written alone. None for no limit.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        name: str,
        max_items: int,
        max_bytes: int | None = None,
    ) -> None:
        self._write = write
        self._name = name
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._waiting: deque[_Waiting[Item, Result]] = deque()
        self._task: asyncio.Task[None] | None = None

    def submit(self, item: Item, *, size: int = 0) -> asyncio.Future[Result]:
        """Submit an item and return the future of its result; cancelling the future in time withdraws the item.

        Args:
            item: the item for the next write.
            size: its size in bytes.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Result] = loop.create_future()
        self._waiting.append(_Waiting(item, size, answer))
        if self._task is None or self._task.done():
            # in a context of its own: the deadline or the delivery of the first caller is not that of the others
            self._task = loop.create_task(self._run(), name=self._name, context=Context())
        return answer

    async def _run(self) -> None:
        while group := self._take():
            try:
                results = await self._write([each.item for each in group])
            except Exception as error:  # noqa: BLE001 - each caller gets it
                if isinstance(error, StoreUnavailable):
                    group += self._waiting
                    self._waiting.clear()
                _fail(group, error)
            except BaseException:  # the loop is closing
                for each in (*group, *self._waiting):
                    each.answer.cancel()
                self._waiting.clear()
                raise
            else:
                for each, result in zip(group, results, strict=True):
                    if not each.answer.done():
                        each.answer.set_result(result)

    def _take(self) -> list[_Waiting[Item, Result]]:
        """Return the items of the next write, without those of cancelled callers."""
        group: list[_Waiting[Item, Result]] = []
        size = 0
        while self._waiting and len(group) < self._max_items:
            each = self._waiting[0]
            if not each.answer.done():
                size += each.size
                if group and self._max_bytes is not None and size > self._max_bytes:
                    break
                group.append(each)
            self._waiting.popleft()
        return group


class _Waiting(Generic[Item, Result]):
    """A submitted item, and the future that its caller awaits."""

    __slots__ = ("answer", "item", "size")

    def __init__(self, item: Item, size: int, answer: asyncio.Future[Result]) -> None:
        self.item = item
        self.size = size
        self.answer = answer


def _fail(group: Sequence[_Waiting[Item, Result]], error: Exception) -> None:
    for each in group:
        if not each.answer.done():
            each.answer.set_exception(error)
