"""Bugs that other libraries had, or that are likely, put into the code on purpose: the model must find each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final
from unittest.mock import patch

from craft_easy.core.events.engine import takeover
from craft_easy.core.events.engine.takeover import TakeOver
from craft_easy.core.events.model import delivery as machine
from craft_easy.core.events.model.delivery import Delivery, Ended, HandlerDelivery
from craft_easy.core.events.model.retry import Outcome, RetryPolicy
from craft_easy.core.events.store.deliveries import PendingChange, Transition
from craft_easy.core.events.store.worker_registry import WorkerEntry
from tests.properties import process
from tests.properties.memory_log import MemoryLog
from tests.properties.process import LEASE, Held, Process

ENDLESS: Final = RetryPolicy(max_attempts=1_000_000, delay=1)

_fail, _finish, _succeed, _outcome = (
    HandlerDelivery.fail,
    machine.finish,
    HandlerDelivery.succeed,
    machine._outcome,
)


def fence_no_worker(log: MemoryLog, seen: WorkerEntry) -> bool:
    return seen.owner in log.workers


def revive(log: MemoryLog, owner: str) -> datetime | None:
    entry = log.workers.get(owner)
    if entry is None:
        return None
    log.workers[owner] = replace(entry, beat_at=log.clock.now(), fenced=False)
    return log.workers[owner].beat_at


async def take_over_nothing(self: TakeOver) -> int:
    return 0


async def take_over_what_is_old(self: TakeOver) -> int:
    record_owner = self._record_owner
    owners = list(await record_owner.deliveries.owners())
    async for page in record_owner.deliveries.owned_by(owners):
        limit = record_owner.worker.now() - timedelta(seconds=LEASE)
        old = [one for one in page if one.document["timestamp"] < limit]
        await record_owner.deliveries.change(
            [PendingChange(one, takeover._freed(one, record_owner.worker.now())) for one in old]
        )
    return 0


async def take_over_from_the_newly_fenced(self: TakeOver) -> int:
    before = await self._record_owner.registry.entries()
    entries = await self.look()
    fenced = [one for one, entry in entries.items() if entry.fenced and one in before and not before[one].fenced]
    return await self._free(fenced)


def crash_every_handler(delivery: Delivery, owner: str, *, at: datetime) -> Delivery:
    after = machine.take_over(delivery, owner, at=at)
    if after is delivery or delivery.running is None:
        return after
    handlers = tuple(one.crash(at) for one in delivery.handlers)
    return replace(machine._settle(after, handlers, at), rev=after.rev)


def fail_without_a_cap(self: HandlerDelivery, outcome: Outcome, at: datetime, key: str) -> HandlerDelivery:
    return _fail(self, replace(outcome, retry=ENDLESS), at, key)


def fail_for_any_attempt(self: HandlerDelivery, outcome: Outcome, at: datetime, key: str) -> HandlerDelivery:
    return _fail(self, replace(outcome, attempt=self.attempts + 1), at, key)


def fail_what_is_done(self: HandlerDelivery, outcome: Outcome, at: datetime, key: str) -> HandlerDelivery:
    return _fail(replace(self, state="pending"), replace(outcome, attempt=self.attempts + 1), at, key)


def succeed_only_while_pending(self: HandlerDelivery, outcome: Outcome, at: datetime) -> HandlerDelivery:
    return _succeed(self, outcome, at) if self.is_pending else self


def count_failures_of_anyone(entry: HandlerDelivery, ended: Ended, *, owns: bool, key: str) -> HandlerDelivery:
    return _outcome(entry, ended, owns=True, key=key)


def retry_from_nothing(delivery: Delivery, handler_ids: Iterable[str], *, at: datetime) -> Delivery:
    after = machine.retry(delivery, handler_ids, at=at)
    wanted = set(handler_ids)
    forgotten = tuple(replace(one, attempts=0, budget_from=0) if one.id in wanted else one for one in after.handlers)
    return after if after is delivery else replace(after, handlers=forgotten)


def overwrite_all_handlers(self: Process, held: Held) -> Transition:
    """While it owns the record, overwrite pending handlers with this worker's older copy."""
    write = partial(_finish, owner=held.owner, key=held.event_id, at=self.now(), release=held.is_releasing)
    known = {one.id: one for one in held.record.delivery.pending}

    def overwrite(now: Delivery) -> Delivery:
        handlers = tuple(known.get(one.id, one) if one.state == "done" else one for one in now.handlers)
        believed = replace(now, handlers=handlers) if now.owner == held.owner else now
        return write(now if believed == now else believed, held.written)

    return overwrite


async def reconcile_nothing(self: Process) -> None:
    return


def claim_again_what_is_held(self: Process, ids: list[Any]) -> list[Any]:
    return ids


def claim_what_is_owned(log: MemoryLog, handlers: Sequence[str], ids: Sequence[str], owner: str, at: datetime) -> int:
    owned = [one for one in ids if log.deliveries[one].is_open]
    for one in owned:
        before = log.deliveries[one]
        log.deliveries[one] = replace(before, owner=owner, claimed_at=at, rev=before.rev + 1)
    return len(owned)


SEEDED: Final[dict[str, Callable[[], AbstractContextManager[Any]]]] = {
    "no fencing": lambda: patch.object(MemoryLog, "fence", fence_no_worker),
    "no take-over": lambda: patch.object(TakeOver, "once", take_over_nothing),
    "staleness counted from the publish": lambda: patch.object(TakeOver, "once", take_over_what_is_old),
    "a take-over that frees only the newly fenced": lambda: patch.object(
        TakeOver, "once", take_over_from_the_newly_fenced
    ),
    "a beat revives": lambda: patch.object(MemoryLog, "beat", revive),
    "no attempt cap": lambda: patch.object(HandlerDelivery, "fail", fail_without_a_cap),
    "a failure without its attempt": lambda: patch.object(HandlerDelivery, "fail", fail_for_any_attempt),
    "a failure overwrites a success": lambda: patch.object(HandlerDelivery, "fail", fail_what_is_done),
    "a failure counted without owning": lambda: patch.object(machine, "_outcome", count_failures_of_anyone),
    "a late success ignored when dead": lambda: patch.object(HandlerDelivery, "succeed", succeed_only_while_pending),
    "a whole-array overwrite": lambda: patch.object(Process, "outcomes", overwrite_all_handlers),
    "a crash charged to a neighbour": lambda: patch.object(takeover, "take_over", crash_every_handler),
    "a retry that resets attempts": lambda: patch.object(process, "retry", retry_from_nothing),
    "no reconciling": lambda: patch.object(Process, "reconcile", reconcile_nothing),
    "a claim of a record that is still held": lambda: patch.object(Process, "not_held", claim_again_what_is_held),
    "a claim of a record that another worker owns": lambda: patch.object(MemoryLog, "claim", claim_what_is_owned),
}
