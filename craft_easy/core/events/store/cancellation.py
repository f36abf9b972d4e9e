"""A task's cancellation, which `asyncio.wait_for` can lose before Python 3.12 and drivers use for each message.

https://github.com/python/cpython/issues/86296
"""

from __future__ import annotations

import asyncio


class Cancellation:
    """Raises again, at the next `check`, what came to the running task since this was made and was lost."""

    __slots__ = ("_before",)

    def __init__(self) -> None:
        self._before = _count()

    def check(self) -> None:
        """Raise CancelledError if the task was cancelled meanwhile."""
        if _count() > self._before:
            raise asyncio.CancelledError


def _count() -> int:
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()
