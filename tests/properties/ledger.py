"""The real history of each delivery, to compare with the log."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from craft_easy.core.events.model.delivery import MAX_CRASHES, Delivery, HandlerDelivery, state_of
from craft_easy.core.events.model.retry import OutcomeKind, RetryPolicy
from craft_easy.core.events.store.worker_registry import WorkerEntry

TWICE: Final = RetryPolicy(max_attempts=2, delay=1, jitter=0)
ONCE: Final = RetryPolicy(max_attempts=1)
SUSPECT_AFTER: Final = 2
"""A record that was taken over this often runs alone."""
MAX_DEATHS: Final = 5
"""The maximum number of processes that one handler can kill before it is dead."""

Key = tuple[str, str]
"""An event and a handler, as the record names it."""


def policy(handler_id: str) -> RetryPolicy:
    """Return a handler's policy; it is the same under both names of a renamed handler."""
    return ONCE if handler_id == "b" else TWICE


class Violation(AssertionError):
    """A promise was broken."""


def must(is_kept: bool, promise: str) -> None:
    """Raise `Violation` if a promise is broken."""
    if not is_kept:
        raise Violation(promise)


@dataclass(eq=False)
class Ledger:
    """Counts the runs of handlers, and checks every write against them."""

    runs: Counter[tuple[Key, OutcomeKind]] = field(default_factory=Counter)
    notes: Counter[Key] = field(default_factory=Counter)
    crashes: Counter[Key] = field(default_factory=Counter)
    deaths: Counter[Key] = field(default_factory=Counter)
    retries: Counter[Key] = field(default_factory=Counter)
    waiting_for_retry: set[Key] = field(default_factory=set)
    stored_in_good_standing: set[Key] = field(default_factory=set)

    # what happens

    def starts(self, key: Key) -> None:
        self.waiting_for_retry.discard(key)

    def ends(self, key: Key, kind: OutcomeKind) -> None:
        self.runs[key, kind] += 1

    def kills(self, key: Key) -> None:
        self.deaths[key] += 1
        most = MAX_DEATHS + MAX_CRASHES * self.retries[key]
        must(self.deaths[key] <= most, f"{key} has killed {self.deaths[key]} processes")

    # the log

    def written(self, event_id: str, before: Delivery, after: Delivery, author: str, *, is_good: bool) -> None:
        """Check one write against the record before it.

        Args:
            author: the worker of the write.
            is_good: the worker is registered and not fenced.
        """
        must(after.rev == before.rev + 1, "a write counts the revision")
        if after.running is not None and after.running != before.running:
            self.notes[event_id, after.running] += 1
        olds = {one.id: one for one in before.handlers}
        for new in after.handlers:
            old = olds.get(new.id, HandlerDelivery(new.id))
            key = (event_id, new.id)
            self._outcome(key, old, new, is_owner=before.owner == author)
            self._crash(key, old, new, before)
            if old.state == "dead" and new.is_pending:
                self.retries[key] += 1
                self.waiting_for_retry.add(key)
            if old.state != "done" and new.state == "done" and is_good:
                self.stored_in_good_standing.add(key)

    def _outcome(self, key: Key, old: HandlerDelivery, new: HandlerDelivery, *, is_owner: bool) -> None:
        must(old.state != "done" or new == old, f"{key} was done and is not any more")
        must(old.state != "skipped" or new == old, f"{key} was skipped and is not any more")
        must(new.attempts >= old.attempts, f"the attempts of {key} went down")
        if new.attempts > old.attempts and new.state != "done":
            must(is_owner, f"a failure of {key} was counted by a worker that does not own the record")

    def _crash(self, key: Key, old: HandlerDelivery, new: HandlerDelivery, before: Delivery) -> None:
        if new.crashes <= old.crashes:
            return
        self.crashes[key] += new.crashes - old.crashes
        must(before.takeovers >= SUSPECT_AFTER, f"{key} is charged with a crash before it ran alone")
        must(self.crashes[key] <= self.notes[key], f"{key} is charged with a crash and was not noted as running")

    def check(self, event_id: str, delivery: Delivery) -> None:
        """Check the invariants of a record."""
        must(delivery.state == state_of(delivery.handlers), "the state of a record follows from its handlers")
        must(delivery.is_open or delivery.owner is None, "a closed record still has an owner")
        must(delivery.owner is not None or delivery.running is None, "an unowned record names a running handler")
        must(delivery.is_open is (delivery.due_at is not None), "an open record, and no other, is due")
        for one in delivery.handlers:
            self._check_handler((event_id, one.id), one)

    def _check_handler(self, key: Key, one: HandlerDelivery) -> None:
        spent = one.attempts - one.budget_from
        is_used_up = spent >= policy(one.id).max_attempts
        succeeded = self.runs[key, OutcomeKind.SUCCEEDED]
        failed = self.runs[key, OutcomeKind.FAILED] + self.runs[key, OutcomeKind.RETRY]
        ended = (
            failed
            + succeeded * (one.state == "done")
            + self.runs[key, OutcomeKind.DISCARDED] * (one.state == "skipped")
        )
        must(one.state != "done" or succeeded > 0, f"{key} is done and never succeeded")
        must(one.attempts <= ended, f"{key} is charged with more attempts than it had")
        must(one.state != "dead" or is_used_up or one.crashes >= MAX_CRASHES, f"{key} is dead with attempts left")
        must(not (one.is_pending and is_used_up), f"{key} is pending past its attempts")
        must(one.state != "dead" or key not in self.waiting_for_retry, f"the operator's retry of {key} is gone")

    def check_start(self, key: Key, delivery: Delivery, *, is_good: bool) -> None:
        """Check that a handler may be started, by a worker in good standing or another."""
        entry = delivery.handler(key[1])
        is_settled = entry is not None and entry.state == "done" and key in self.stored_in_good_standing
        must(not (is_good and is_settled), f"{key} is started again after its success was stored")


def is_good(owner: str, workers: dict[str, WorkerEntry]) -> bool:
    """Return whether a worker is registered and not fenced."""
    entry = workers.get(owner)
    return entry is not None and not entry.fenced
