"""The state machine of a record: the transitions of its deliveries, one for each handler.

A handler's delivery:

    pending ── succeeded ──────────────────────────→ done
       │ ↑
       │ └─ failed, attempts left: due again later
       ├─── failed, no attempts left; third crash ──→ dead ── retry (an operator) ──→ pending
       └─── discarded ─────────────────────────────→ skipped

A success also turns dead into done, whichever worker reports it; every other outcome applies only while its worker owns
the record.

The state of the record follows from its handlers: open while any is pending, otherwise dead if one is dead, otherwise
done.

    claim        an unowned record gets an owner               store.deliveries
    finish       applies the outcomes of the owner's handlers; frees the record once the owner has finished with it
    give_back    the owner frees a record without having run its handlers
    take_over    frees a record of a worker that died
    note_running names the handler of a suspect that is about to run
    retry, discard, redact, take_in, track                     changes by operators

Every change is a pure function from a `Delivery` to a `Delivery`: no clock, no I/O. The store writes the result where
`rev` is unchanged; otherwise it reads the record and applies the change again. A function that has nothing to change
returns the object that it was given, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal, Self

from craft_easy.core.events.model.retry import MAX_WAIT, Outcome, OutcomeKind, spread

HandlerState = Literal["pending", "done", "dead", "skipped"]
DeliveryState = Literal["open", "done", "dead"]

MAX_CRASHES: Final = 3
"""The number of crashes that make a delivery dead: take-overs during which its handler was noted as running."""
MAX_ERRORS: Final = 5
"""The maximum number of errors that are kept of a handler, the newest last."""
REDACTED: Final = "redacted"
"""The reason of a delivery that was skipped because the payload of its event was removed."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An error that is kept in the record.

    Args:
        type: the class of the exception.
        message: its text.
        at: the database's time of the failure.
        attempt: the number of the run that failed.
        where: the innermost frame of the user's code, as `shop/mail.py:31 in send`.
        frames: the last few frames, the innermost last.
    """

    type: str
    message: str
    at: datetime
    attempt: int
    where: str | None = None
    frames: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HandlerDelivery:
    """One event × one handler, as it is in the record."""

    id: str
    state: HandlerState = "pending"
    attempts: int = 0
    budget_from: int = 0
    crashes: int = 0
    due_at: datetime | None = None
    finished_at: datetime | None = None
    took_ms: float | None = None
    errors: tuple[Failure, ...] = ()
    reason: str | None = None
    by: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """Keys of the entry that this version does not know; they are written back."""

    @property
    def is_pending(self) -> bool:
        return self.state == "pending"

    def succeed(self, outcome: Outcome, at: datetime) -> HandlerDelivery:
        if self.state not in ("pending", "dead"):
            return self
        took_ms = round(outcome.took_ms, 3)
        return replace(self, state="done", attempts=self.attempts + 1, due_at=None, finished_at=at, took_ms=took_ms)

    def fail(self, outcome: Outcome, at: datetime, key: str) -> HandlerDelivery:
        """Count a failed run, unless its number shows that it was counted before."""
        if not self.is_pending or outcome.attempt != self.attempts + 1:
            return self
        attempts = self.attempts + 1
        spent = attempts - self.budget_from
        changed = replace(
            self, attempts=attempts, took_ms=round(outcome.took_ms, 3), errors=self._with_error(outcome, at)
        )
        if spent >= outcome.retry.max_attempts:
            return replace(changed, state="dead", due_at=None, finished_at=at)
        wait = outcome.retry.wait(spent, spread(key, attempts)) if outcome.after is None else outcome.after
        return replace(changed, due_at=at + min(max(wait, timedelta(0)), MAX_WAIT))

    def skip(self, reason: str | None, at: datetime, *, by: str | None = None, attempts: int = 0) -> HandlerDelivery:
        if self.state not in ("pending", "dead"):
            return self
        return replace(
            self, state="skipped", attempts=self.attempts + attempts, due_at=None, finished_at=at, reason=reason, by=by
        )

    def redact(self, at: datetime, by: str | None) -> HandlerDelivery:
        """Remove the texts that may repeat the payload: messages of errors, and the reason of a skip."""
        errors = tuple(replace(error, message="") for error in self.errors)
        return replace(self, errors=errors, reason=None).skip(REDACTED, at, by=by)

    def crash(self, at: datetime) -> HandlerDelivery:
        if not self.is_pending:
            return self
        if self.crashes + 1 >= MAX_CRASHES:
            return replace(self, crashes=self.crashes + 1, state="dead", due_at=None, finished_at=at, reason="crashed")
        return replace(self, crashes=self.crashes + 1)

    def _with_error(self, outcome: Outcome, at: datetime) -> tuple[Failure, ...]:
        if outcome.error is None:
            return self.errors
        error = outcome.error
        new = Failure(error.type, error.message, at, outcome.attempt, error.where, error.frames)
        return (*self.errors, new)[-MAX_ERRORS:]


@dataclass(frozen=True, slots=True)
class Delivery:
    """The delivery part of a tracked record."""

    rev: int = 0
    state: DeliveryState = "open"
    owner: str | None = None
    claimed_at: datetime | None = None
    due_at: datetime | None = None
    takeovers: int = 0
    running: str | None = None
    finished_at: datetime | None = None
    handlers: tuple[HandlerDelivery, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """Keys under `delivery` that this version does not know; they are written back."""

    @classmethod
    def new(cls, handlers: Iterable[str], *, at: datetime, owner: str | None = None) -> Self:
        """Return the delivery of a record that is about to be inserted.

        Args:
            handlers: ids of the handlers that are subscribed now; with none the record is done.
            at: the database's time.
            owner: the publisher that will run them; None leaves them to a redispatch.
        """
        entries = tuple(HandlerDelivery(handler, due_at=at) for handler in dict.fromkeys(handlers))
        if not entries:
            return cls(state="done", finished_at=at)
        return cls(owner=owner, claimed_at=at if owner else None, due_at=at, handlers=entries)

    @property
    def is_open(self) -> bool:
        return self.state == "open"

    @property
    def pending(self) -> tuple[HandlerDelivery, ...]:
        return tuple([handler for handler in self.handlers if handler.state == "pending"])

    def handler(self, *ids: str) -> HandlerDelivery | None:
        """Return the first entry with one of these ids."""
        for handler in self.handlers:
            if handler.id in ids:
                return handler
        return None


@dataclass(frozen=True, slots=True)
class Ended:
    """An outcome, its time by the database's clock, and the handler's id in the record."""

    outcome: Outcome
    at: datetime
    handler_id: str


def finish(
    delivery: Delivery,
    ended: Sequence[Ended],
    *,
    owner: str,
    key: str,
    at: datetime,
    release: bool = False,
    has_run: bool = True,
) -> Delivery:
    """Apply the outcomes of a worker's handlers, and free the record where `release` is set.

    A success always applies, every other outcome only while `owner` still owns the record.

    Args:
        key: the event's id; it spreads the waits.
        at: the database's time of this change.
        release: free the record, because the worker has finished with it.
        has_run: a handler was started since the claim; `claimed_at` stays, so that the same redispatch does not claim
            the record again.
    """
    owns = delivery.owner == owner
    handlers = delivery.handlers
    for outcome in ended:
        handlers = _apply(handlers, outcome, owns=owns, key=key)
    if not owns:
        return _settle(delivery, handlers, at)
    if release:
        return _settle(delivery, handlers, at, **_free(delivery, keep_claim=has_run))
    return _settle(delivery, handlers, at, running=None)


def give_back(delivery: Delivery, owner: str, *, at: datetime) -> Delivery:
    """Free a record whose handlers did not run; a record that the worker does not own stays as it is."""
    if delivery.owner != owner:
        return delivery
    return _settle(delivery, delivery.handlers, at, **_free(delivery, keep_claim=False))


def note_running(delivery: Delivery, owner: str, handler_id: str) -> Delivery:
    """Note which handler of a suspect is about to run."""
    if delivery.owner != owner:
        return delivery
    return replace(delivery, rev=delivery.rev + 1, running=handler_id)


def take_over(delivery: Delivery, owner: str, *, at: datetime) -> Delivery:
    """Free a record of a worker that died; a crash counts against the handler that was noted as running."""
    if delivery.owner != owner:
        return delivery
    handlers = delivery.handlers
    if delivery.running is not None:
        handlers = tuple(entry.crash(at) if entry.id == delivery.running else entry for entry in handlers)
    return _settle(delivery, handlers, at, **_free(delivery, keep_claim=False), takeovers=delivery.takeovers + 1)


def forget_errors(delivery: Delivery) -> Delivery:
    """Remove all errors, for a record that would grow too large with them."""
    return replace(delivery, handlers=tuple(replace(entry, errors=()) for entry in delivery.handlers))


def retry(delivery: Delivery, handler_ids: Iterable[str], *, at: datetime) -> Delivery:
    """Give dead deliveries a fresh budget; their history stays."""
    wanted = set(handler_ids)
    handlers = tuple(
        replace(entry, state="pending", budget_from=entry.attempts, crashes=0, due_at=at, finished_at=None, reason=None)
        if entry.state == "dead" and entry.id in wanted
        else entry
        for entry in delivery.handlers
    )
    return _settle(delivery, handlers, at)


def discard(
    delivery: Delivery, handler_ids: Iterable[str], *, reason: str, at: datetime, by: str | None = None
) -> Delivery:
    """Skip deliveries that are pending or dead: they are never reported as done."""
    wanted = set(handler_ids)
    handlers = tuple(entry.skip(reason, at, by=by) if entry.id in wanted else entry for entry in delivery.handlers)
    return _settle(delivery, handlers, at)


def redact(delivery: Delivery, *, at: datetime, by: str | None = None) -> Delivery:
    """Skip the pending and dead deliveries, and remove all texts of errors and reasons.

    The payload is removed with the same write.

    `rev` always grows by 1, so that a worker that read the record before must read it again.
    """
    after = _settle(delivery, tuple(entry.redact(at, by) for entry in delivery.handlers), at)
    return after if after is not delivery else replace(delivery, rev=delivery.rev + 1)


def take_in(delivery: Delivery, *, at: datetime) -> Delivery:
    """Return a delivery of another log as it is imported: unowned, its state derived from its handlers.

    A delivery that needs no change is returned as it is; otherwise `rev` grows by 1, so that a worker that read the
    original cannot overwrite it.
    """
    handlers = tuple(
        replace(entry, due_at=at) if entry.is_pending and entry.due_at is None else entry for entry in delivery.handlers
    )
    is_free = delivery.owner is None and delivery.running is None
    return _settle(delivery, handlers, at, **({} if is_free else _free(delivery, keep_claim=False)))


def track(handlers: Iterable[str], delivery: Delivery | None, *, at: datetime) -> Delivery:
    """Add handlers to a record that was stored without any (`--include-untracked`, `--include-unhandled`)."""
    if delivery is None:
        return Delivery.new(handlers, at=at)
    known = {entry.id for entry in delivery.handlers}
    added = tuple(HandlerDelivery(handler, due_at=at) for handler in dict.fromkeys(handlers) if handler not in known)
    return _settle(delivery, delivery.handlers + added, at)


def _apply(handlers: tuple[HandlerDelivery, ...], ended: Ended, *, owns: bool, key: str) -> tuple[HandlerDelivery, ...]:
    for index, entry in enumerate(handlers):
        if entry.id == ended.handler_id:
            changed = _outcome(entry, ended, owns=owns, key=key)
            return handlers if changed is entry else (*handlers[:index], changed, *handlers[index + 1 :])
    return handlers


def _outcome(entry: HandlerDelivery, ended: Ended, *, owns: bool, key: str) -> HandlerDelivery:
    outcome = ended.outcome
    if outcome.kind is OutcomeKind.SUCCEEDED:
        return entry.succeed(outcome, ended.at)
    if not owns or outcome.kind is OutcomeKind.GIVEN_BACK:
        return entry
    if outcome.kind is OutcomeKind.DISCARDED:
        return entry.skip(outcome.reason, ended.at, by="handler", attempts=1) if entry.is_pending else entry
    return entry.fail(outcome, ended.at, f"{key}:{entry.id}")


def _free(delivery: Delivery, *, keep_claim: bool) -> dict[str, Any]:
    """Return the fields that change when a record is given back."""
    return {"owner": None, "running": None, "claimed_at": delivery.claimed_at if keep_claim else None}


def _settle(before: Delivery, handlers: tuple[HandlerDelivery, ...], at: datetime, **changes: Any) -> Delivery:
    """Derive the other fields from the handlers, and add 1 to `rev` if any field has changed."""
    state = state_of(handlers)
    if state == "open":
        changes |= {"due_at": _earliest(handlers) or at, "finished_at": None}
    else:
        is_new = before.is_open or before.state != state
        changes |= {"owner": None, "running": None, "due_at": None}
        changes["finished_at"] = at if is_new else before.finished_at
    if state == before.state and handlers == before.handlers and _has(before, changes):
        return before
    return replace(before, rev=before.rev + 1, state=state, handlers=handlers, **changes)


def _has(delivery: Delivery, values: Mapping[str, Any]) -> bool:
    return all(getattr(delivery, name) == value for name, value in values.items())


def state_of(handlers: Sequence[HandlerDelivery]) -> DeliveryState:
    """Derive the state of a record from its handlers."""
    states = {handler.state for handler in handlers}
    return "open" if "pending" in states else "dead" if "dead" in states else "done"


def _earliest(handlers: Sequence[HandlerDelivery]) -> datetime | None:
    return min((entry.due_at for entry in handlers if entry.is_pending and entry.due_at is not None), default=None)
