"""How far a tail came: the position in the change stream, noted in its checkpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from craft_easy.core.events.checkpoint import Checkpoint
from craft_easy.core.events.clock import steady
from craft_easy.core.events.errors import CheckpointError
from craft_easy.core.events.history.changes import StreamPosition

NOTED_EVERY: Final = 0.2
"""Seconds between two writes of a checkpoint while events come: what came since the last may come again."""
NOTED_IDLE_EVERY: Final = 10.0
MAX_UNNOTED: Final = 1_000
"""Events at most that may come again."""


def position_in(checkpoint: Checkpoint) -> StreamPosition | None:
    """Return the position that the last tail noted; None before the first note.

    Raises:
        CheckpointError: it is not a position of a change stream, or the file cannot be used.
    """
    position = checkpoint.read()
    if position is None:
        return None
    try:
        return StreamPosition.from_json(position)
    except ValueError as error:
        raise CheckpointError(
            f"{checkpoint.path} holds no position of a change stream",
            hint="remove it, and name with --since where to begin",
        ) from error


class Bookmark:
    """Notes in the checkpoint how far the tail came: what is yielded after the last note may be yielded again."""

    def __init__(self, checkpoint: Checkpoint | None) -> None:
        self._checkpoint = checkpoint
        self._position: StreamPosition | None = None
        self._written: Mapping[str, Any] | None = None
        self._written_at = steady()
        self._shown = 0

    async def begin(self, position: StreamPosition | None) -> None:
        """Note where the stream was opened, so that nothing that comes from now on is ever missed."""
        self._position = position
        await self.write()

    async def reached(self, position: StreamPosition | None, *, is_shown: bool) -> None:
        """Note a position, at once or with others that follow it closely."""
        if self._checkpoint is None:
            return
        self._position = position
        self._shown += is_shown
        every = NOTED_EVERY if self._shown else NOTED_IDLE_EVERY
        if self._shown >= MAX_UNNOTED or steady() - self._written_at >= every:
            await self.write()

    async def write(self) -> None:
        """Write the position that was reached, in a thread: fsync may take long."""
        position = self._position
        if self._checkpoint is None or position is None or position.token == self._written:
            return
        await asyncio.to_thread(self._checkpoint.write, position.to_json())
        self._written, self._written_at, self._shown = position.token, steady(), 0
