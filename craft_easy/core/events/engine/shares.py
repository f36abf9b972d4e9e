"""How handlers share the slots of a pool, so that one that is slow or fails does not keep the others waiting.

A handler may begin another delivery while it runs fewer than twice as many as there are free slots: the more it runs,
the less it may take of what is left, and a slot or two stay for the others. This is the dynamic threshold of Choudhury
and Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches" (1998), with alpha = 2. After three
failures in a row a handler gets a tenth of the slots, one at least, until it succeeds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from craft_easy.core.events.model.retry import Outcome, OutcomeKind

SLOW_S: Final = 0.25
"""A handler whose deliveries take longer than this, in seconds, is slow."""
FAILURES: Final = 3
"""Failures in a row after which a handler is failing."""
FAILING_PART: Final = 10
"""A failing handler gets the number of slots divided by this, one at least."""
WEIGHT: Final = 0.25
"""The weight of the latest delivery in the average duration of a handler."""


@dataclass(slots=True)
class _Use:
    running: int = 0
    failures: int = 0
    took_s: float = 0.0
    """The exponentially weighted average."""


class Shares:
    """The deliveries that each handler runs, and those that it may begin.

    Args:
        size: the slots of the pool.
    """

    def __init__(self, size: int) -> None:
        self._failing = max(1, size // FAILING_PART)
        self._uses: defaultdict[str, _Use] = defaultdict(_Use)

    def may_begin(self, handler_id: str, free: int) -> bool:
        """Return whether a handler may begin another delivery while this many slots are free."""
        use = self._uses[handler_id]
        is_failing = use.failures >= FAILURES
        return use.running < 2 * free and not (is_failing and use.running >= self._failing)

    def begin(self, handler_id: str) -> None:
        """Count a delivery that begins."""
        self._uses[handler_id].running += 1

    def are_running(self, handlers: AbstractSet[str]) -> bool:
        """Return whether a delivery of one of these handlers runs."""
        return any(use.running for handler, use in self._uses.items() if handler in handlers)

    def end(self, outcome: Outcome) -> None:
        """Count a delivery that has ended."""
        use = self._uses[outcome.handler_id]
        use.running -= 1
        if outcome.kind is OutcomeKind.GIVEN_BACK:
            return
        use.took_s += (outcome.took_ms / 1000 - use.took_s) * WEIGHT
        use.failures = use.failures + 1 if outcome.kind is OutcomeKind.FAILED else 0

    def slow(self, running: AbstractSet[str] = frozenset()) -> set[str]:
        """Return the handlers that are slow or failing.

        Args:
            running: the handlers of which a delivery has run for longer than `SLOW_S` so far.
        """
        slow = {handler for handler, use in self._uses.items() if use.took_s > SLOW_S or use.failures >= FAILURES}
        return slow | (running & self._uses.keys())
