"""The bookmark of a tail: its position in the change stream, written to its checkpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from craft_easy.core.events.checkpoint import Checkpoint
from craft_easy.core.events.clock import steady
from craft_easy.core.events.errors import CheckpointError
from craft_easy.core.events.history.changes import StreamPosition

NOTED_EVERY: Final = 0.2
"""Seconds between two writes of a checkpoint while events come: those since the last write may come again."""
NOTED_IDLE_EVERY: Final = 10.0
MAX_UNNOTED: Final = 1_000
"""The maximum number of events that may come again."""


def position_in(checkpoint: Checkpoint) -> StreamPosition | None:
    """Return the position that the last tail wrote; None before the first write.

    Raises:
        CheckpointError: the checkpoint holds no position of a change stream, or cannot be used.
    """
    position = checkpoint.read()
    if position is None:
        return None
    try:
        return StreamPosition.from_json(position)
    except ValueError as error:
        raise CheckpointError(
            f"{checkpoint.path} holds no position of a change stream",
            hint="remove it, and set the beginning with --since",
        ) from error


class Bookmark:
    """Writes the position of a tail to its checkpoint; events after the last write may be yielded again."""

    def __init__(self, checkpoint: Checkpoint | None) -> None:
        self._checkpoint = checkpoint
        self._position: StreamPosition | None = None
        self._written: Mapping[str, Any] | None = None
        self._written_at = steady()
        self._shown = 0

    async def begin(self, position: StreamPosition | None) -> None:
        """Write the position at which the stream was opened, so that no later event is ever missed."""
        self._position = position
        await self.write()

    async def reached(self, position: StreamPosition | None, *, is_shown: bool) -> None:
        """Note a position, and write it at once or with the next ones that follow closely."""
        if self._checkpoint is None:
            return
        self._position = position
        self._shown += is_shown
        every = NOTED_EVERY if self._shown else NOTED_IDLE_EVERY
        if self._shown >= MAX_UNNOTED or steady() - self._written_at >= every:
            await self.write()

    async def write(self) -> None:
        """Write the latest position, in a thread, since fsync may take long."""
        position = self._position
        if self._checkpoint is None or position is None or position.token == self._written:
            return
        await asyncio.to_thread(self._checkpoint.write, position.to_json())
        self._written, self._written_at, self._shown = position.token, steady(), 0
