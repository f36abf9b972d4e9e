"""The wait for the end of an outage, the same for every long run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from craft_easy.core.events.clock import steady
from craft_easy.core.events.engine.report import ConnectionLost, ConnectionResumed
from craft_easy.core.events.errors import StoreError, StoreLoginRefused, StoreUnavailable

Answer = TypeVar("Answer")

OUTAGE_LIMIT_S: Final = 60.0
"""Seconds without an answer after which a run that has an end gives up."""
RETRY_S: Final = 1.0
MAX_RETRY_S: Final = 30.0
"""Seconds between two calls at most where the log answers with an error."""


class Outage:
    """Repeats calls that the log did not answer, and reports the beginning and the end of an outage.

    Args:
        report: called with each notice.
        limit: seconds without an answer after which the error is raised; None for no limit.
        survives: whether every error of the log is ridden out, a killed cursor for example, but a refused login.
    """

    def __init__(
        self,
        report: Callable[[ConnectionLost | ConnectionResumed], object],
        *,
        limit: float | None,
        survives: bool = False,
    ) -> None:
        self._report = report
        self._limit = limit
        self._survives = survives
        self._lost_at: float | None = None

    @property
    def is_going_on(self) -> bool:
        """True if the last call was not answered."""
        return self._lost_at is not None

    def answered(self) -> None:
        """Note that the log has answered: an outage, if there was one, is over."""
        if self._lost_at is not None:
            self._report(ConnectionResumed(steady() - self._lost_at))
            self._lost_at = None

    async def ride_out(self, step: Callable[[], Awaitable[Answer]]) -> Answer:
        """Call a step, repeat it while the log cannot be reached, and return its result.

        Raises:
            StoreUnavailable: the log has not answered for `limit` seconds.
            StoreError: the log answered with an error that is not ridden out.
        """
        retry_s = RETRY_S
        while True:
            try:
                answer = await step()
            except StoreUnavailable as error:
                self._note(error)
                await asyncio.sleep(RETRY_S)
            except StoreError as error:
                if not self._survives or isinstance(error, StoreLoginRefused):
                    raise
                self._note(error)
                await asyncio.sleep(retry_s)
                retry_s = min(2 * retry_s, MAX_RETRY_S)
            else:
                self.answered()
                return answer

    def _note(self, error: StoreError) -> None:
        if self._lost_at is None:
            self._lost_at = steady()
            self._report(ConnectionLost(error.message))
        elif self._limit is not None and steady() - self._lost_at > self._limit:
            raise error
