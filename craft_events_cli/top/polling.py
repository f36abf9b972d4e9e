"""The poller of a view: its questions one after another, never two at once, at most one round a second.

A question that costs the database more is asked less often: it rests nine times as long as its answer took, up to a
minute, and never less than it took. So what needs a pass over a large backlog is asked every half minute, and what an
index answers every second. An outage is a state of the answer: the last value stays, with its age and the reason.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from craft_easy.core.events import clock
from craft_easy.core.events.errors import EventsError

T = TypeVar("T")

ROUND: Final = 1.0
"""Seconds between two rounds of one view."""
DEADLINE: Final = 30.0
"""Seconds after which a question without an answer counts as an outage."""
REST: Final = 9
"""A question rests this many times as long as its answer took."""
LONGEST_PACE: Final = 60.0


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """The last answer to a question, and how old it is.

    Args:
        value: the value; None before the first answer.
        read_at: when it was read, by the steady clock; None before the first answer.
        every: seconds until the question is asked again.
        fault: why the last try failed; None where it did not.
    """

    value: T | None = None
    read_at: float | None = None
    every: float = ROUND
    fault: str | None = None

    def age_s(self, now: float) -> float | None:
        """Return how many seconds ago the value was read; None where there is none."""
        return None if self.read_at is None else max(0.0, now - self.read_at)


class PolledQuestion(Generic[T]):
    """A question to the library, its last answer, and when it is asked next.

    Args:
        ask: asks it.
        show: called with each answer, also where the value is an old one because of an outage.
        deadline: seconds that it may take.
    """

    def __init__(
        self,
        ask: Callable[[], Awaitable[T]],
        show: Callable[[Answer[T]], object],
        *,
        deadline: float = DEADLINE,
        steady: Callable[[], float] = clock.steady,
    ) -> None:
        self.answer: Answer[T] = Answer()
        self._ask = ask
        self._show = show
        self._deadline = deadline
        self._steady = steady
        self._due_at = 0.0

    @property
    def is_due(self) -> bool:
        """True if its rest is over."""
        return self._steady() >= self._due_at

    def hurry(self) -> None:
        """Have it asked in the next round."""
        self._due_at = 0.0

    async def put(self) -> None:
        """Ask it once, and show the answer."""
        begun_at = self._steady()
        self._due_at = math.inf
        try:
            async with asyncio.timeout(self._deadline):
                value = await self._ask()
        except TimeoutError:
            self._fail(f"no answer within {self._deadline:g} s")
        except EventsError as error:
            self._fail(str(error))
        else:
            every = self._pace(self._steady() - begun_at)
            self.answer = Answer(value, self._steady(), every)
            self._rest_until(begun_at + every)
        self._show(self.answer)

    def _fail(self, reason: str) -> None:
        self.answer = Answer(self.answer.value, self.answer.read_at, self.answer.every, reason)
        self._rest_until(self._steady() + ROUND)

    def _rest_until(self, due_at: float) -> None:
        """Rest, unless it was hurried while it was asked: its answer may be older than that."""
        self._due_at = min(self._due_at, due_at)

    def _pace(self, took: float) -> float:
        """Return the seconds between two beginnings; the first answer, which often costs more, is soon asked again."""
        longer = took * (2 if self.answer.read_at is None else REST + 1)
        return max(ROUND, min(longer, LONGEST_PACE), 2 * took)


class Poller:
    """Asks the questions of one view in turn while the view is open."""

    def __init__(self, questions: Sequence[PolledQuestion[Any]]) -> None:
        self.questions = questions

    def hurry(self) -> None:
        """Ask everything again in the next round, as after an action."""
        for one in self.questions:
            one.hurry()

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            for one in self.questions:
                if one.is_due:
                    await one.put()
            await asyncio.sleep(ROUND)

    @property
    def outage(self) -> Answer[Any] | None:
        """The answer of the first question that could not be asked; None where all were answered."""
        return next((one.answer for one in self.questions if one.answer.fault is not None), None)
