"""Polls the registry of workers, and records take-overs that came before the lease had ended."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import pymongo
from pymongo.errors import PyMongoError

from tests.proof import ledger

PAUSE_S: Final = 0.15
ANSWER_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class _Beat:
    """A worker's last beat; it was sent later than `after`, by the ledger's clock."""

    at: Any
    after: float
    fenced: bool


class Watch:
    """Computes how long each worker has been silent at most; it reports nothing about times that it did not observe.

    Attributes:
        early: findings about workers that were taken over too early.
    """

    def __init__(self) -> None:
        self.early: list[str] = []
        self._beats: dict[str, _Beat] = {}
        self._asked = float("-inf")

    async def run(self, workers: Any) -> None:
        """Poll until cancelled; an unreachable server is skipped."""
        while True:
            with suppress(PyMongoError), pymongo.timeout(ANSWER_S):
                asked = ledger.now()
                self.look(await workers.find().to_list(None), asked, ledger.now())
            await asyncio.sleep(PAUSE_S)

    def look(self, entries: Iterable[Mapping[str, Any]], asked: float, answered: float) -> None:
        """Process one answer; times are nanoseconds."""
        self._beats = {entry["_id"]: self._beat(entry, answered) for entry in entries}
        self._asked = asked

    def _beat(self, entry: Mapping[str, Any], answered: float) -> _Beat:
        before, fenced = self._beats.get(entry["_id"]), bool(entry["fenced"])
        is_same = before is not None and before.at == entry["beat_at"]
        after = before.after if before is not None and is_same else self._asked
        if fenced and not (before is not None and before.fenced) and answered - after < entry["lease"] * 1e9:
            silent = (answered - after) / 1e9
            self.early.append(
                f"{entry['_id']} was silent for {silent:.2f} s at most, its lease is {entry['lease']:g} s"
            )
        return _Beat(entry["beat_at"], after, fenced)
