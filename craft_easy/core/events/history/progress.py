"""The progress of a replay: its low watermark, up to which every event has ended, and the checkpoint that stores it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from craft_easy.core.events.checkpoint import Checkpoint
from craft_easy.core.events.errors import CheckpointError
from craft_easy.core.events.store.position import RecordPosition

WINDOW: Final = 1_000
"""The maximum number of events that begin beyond the stored mark, and so may repeat after `kill -9`."""
WRITTEN_EVERY: Final = 0.5
"""Seconds between two writes of the mark, unless the window fills earlier."""


@dataclass(frozen=True, slots=True)
class Position:
    """The progress of a replay in its range, which was fixed at the start.

    Args:
        replay_id: the id of the replay, which its resumed runs share.
        began_at: the database's time at its start.
        since: the start of the window.
        until: the end of the window, exclusive.
        end: the last event of the range; None where events are named one by one, or the log is empty.
        mark: the low watermark: every event up to this one has ended.
        passed: the number of selected events up to there.
        is_complete: the replay has come to its end.
    """

    replay_id: str
    began_at: datetime | None = None
    since: datetime | None = None
    until: datetime | None = None
    end: RecordPosition | None = None
    mark: RecordPosition | None = None
    passed: int = 0
    is_complete: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the position as plain JSON."""
        return {
            "replay_id": self.replay_id,
            **{name: _text(getattr(self, name)) for name in ("began_at", "since", "until")},
            "end": None if self.end is None else self.end.to_json(),
            "mark": None if self.mark is None else self.mark.to_json(),
            "passed": self.passed,
            "is_complete": self.is_complete,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Position:
        """Return the position that `to_json` described.

        Raises:
            CheckpointError: the fields do not describe a position.
        """
        try:
            return cls(
                str(fields["replay_id"]),
                began_at=_moment(fields["began_at"]),
                since=_moment(fields["since"]),
                until=_moment(fields["until"]),
                end=None if fields["end"] is None else RecordPosition.from_json(fields["end"]),
                mark=None if fields["mark"] is None else RecordPosition.from_json(fields["mark"]),
                passed=int(fields["passed"]),
                is_complete=bool(fields["is_complete"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                "the checkpoint holds no position of a replay", hint="name another file, or remove this one"
            ) from error


@dataclass(slots=True, eq=False)
class ProgressStep:
    """An event whose handlers run, together with the events after it that have no handler."""

    number: int
    position: RecordPosition
    passed: int
    is_over: bool = False


class LowWater:
    """Computes the low watermark from the events that have ended, in the order of history.

        step = water.begin(position)
        ...
        water.end(step)
        water.mark, water.passed

    Args:
        mark: the position at which an earlier run ended.
        passed: the number of selected events up to there.
    """

    def __init__(self, mark: RecordPosition | None = None, passed: int = 0) -> None:
        self.mark = mark
        self.passed = passed
        self.number = 0
        """Steps up to the mark."""
        self._begun = 0
        self._seen = passed
        self._steps: deque[ProgressStep] = deque()

    @property
    def begun(self) -> int:
        """The number of steps that have begun."""
        return self._begun

    def begin(self, position: RecordPosition) -> ProgressStep:
        """Note that the next event in order begins."""
        self._begun += 1
        self._seen += 1
        step = ProgressStep(self._begun, position, self._seen)
        self._steps.append(step)
        return step

    def pass_over(self, position: RecordPosition) -> None:
        """Note an event that has no handler."""
        self._seen += 1
        if self._steps:
            self._steps[-1].position, self._steps[-1].passed = position, self._seen
        else:
            self.mark, self.passed = position, self._seen

    def end(self, step: ProgressStep) -> None:
        """Note that an event has ended; the mark moves up to the first event that has not."""
        step.is_over = True
        while self._steps and self._steps[0].is_over:
            first = self._steps.popleft()
            self.mark, self.passed, self.number = first.position, first.passed, first.number


class ProgressWriter:
    """Writes the low watermark to a checkpoint, and holds back events that would begin too far beyond it.

    Args:
        checkpoint: the checkpoint to write; None writes nothing.
        position: the position at which an earlier run ended.
    """

    def __init__(self, checkpoint: Checkpoint | None, position: Position) -> None:
        self.water = LowWater(position.mark, position.passed)
        self._checkpoint = checkpoint
        self._position = position
        self._kept = 0
        self._is_stopped = False
        self._has_moved = asyncio.Event()
        self._is_pressed = asyncio.Event()
        self._was_kept = asyncio.Event()

    @property
    def position(self) -> Position:
        """The position that the replay has reached."""
        return replace(self._position, mark=self.water.mark, passed=self.water.passed)

    def end(self, step: ProgressStep) -> None:
        """Note that an event has ended."""
        before = self.water.number
        self.water.end(step)
        if self.water.number != before:
            self._has_moved.set()
            if self._checkpoint is None:
                self._kept = self.water.number
                self._was_kept.set()

    async def room(self) -> None:
        """Wait until one more event may begin."""
        if self.water.begun - self._kept >= WINDOW // 2:
            self._is_pressed.set()
        while self.water.begun - self._kept >= WINDOW:
            self._is_pressed.set()
            self._was_kept.clear()
            await self._was_kept.wait()

    async def keep(self) -> None:
        """Write the mark whenever it has moved, until `stop`; in a thread, since fsync may take long.

        Raises:
            CheckpointError: the checkpoint cannot be written.
        """
        while self._checkpoint is not None and not self._is_stopped:
            await self._has_moved.wait()
            self._has_moved.clear()
            await self._write(self.position, self.water.number)
            with suppress(TimeoutError):
                async with asyncio.timeout(WRITTEN_EVERY):
                    await self._is_pressed.wait()
            self._is_pressed.clear()

    def stop(self) -> None:
        """End `keep` after its current write."""
        self._is_stopped = True
        self._has_moved.set()
        self._is_pressed.set()

    async def close(self, *, is_complete: bool) -> None:
        """Write the final position; called once `keep` has ended."""
        await self._write(replace(self.position, is_complete=is_complete), self.water.number)

    async def _write(self, position: Position, number: int) -> None:
        if self._checkpoint is not None:
            await asyncio.to_thread(self._checkpoint.write, position.to_json())
        self._kept = number
        self._was_kept.set()


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment
