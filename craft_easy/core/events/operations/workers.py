"""The status of the workers: the records that each owns, and its last heartbeat."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal

from craft_easy.core.events.store.deliveries import Deliveries
from craft_easy.core.events.store.worker_registry import RunningDelivery, WorkerEntry, WorkerRegistry

if TYPE_CHECKING:
    from craft_easy.core.events.store import EventStore

WorkerState = Literal["gone", "silent", "alive", "fenced"]

_IN_ORDER: Final[tuple[WorkerState, ...]] = ("gone", "silent", "alive", "fenced")


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A process that may own records.

    `state` is "alive"; "silent" when its last heartbeat is older than its lease; "fenced" when it was taken over;
    "gone" when it owns open records and has no entry in the registry, whose fields are then None. A redispatch watches
    a worker for a whole lease, and takes over those that are silent, fenced or gone.

    Args:
        open: open records that it owns.
        silent_s: seconds since its last heartbeat, by the database's clock.
        lease: in seconds.
        running: its longest running deliveries, as of its last heartbeat; of a worker that is alive.
    """

    owner: str
    state: WorkerState
    open: int
    host: str | None = None
    pid: int | None = None
    started_at: datetime | None = None
    beat_at: datetime | None = None
    silent_s: float | None = None
    lease: float | None = None
    running: tuple[RunningDelivery, ...] = ()


async def workers(store: EventStore) -> list[WorkerStatus]:
    """Return every worker that is registered or owns an open record, those that need a look first, then the busiest.

    A worker that was taken over and owns nothing is gone: its entry in the registry only keeps it from coming back.

    Raises:
        StoreUnavailable: the log was not reached.
    """
    # in this order: a worker registers before it owns records, so an owner without an entry is gone
    owned = await Deliveries(store).owners()
    entries = await WorkerRegistry(store).entries()
    now = await store.now()
    statuses = [
        _known(entry, owned.get(owner, 0), now)
        for owner, entry in entries.items()
        if owner in owned or not entry.fenced
    ]
    statuses += [WorkerStatus(owner, "gone", records) for owner, records in owned.items() if owner not in entries]
    return sorted(statuses, key=lambda status: (_IN_ORDER.index(status.state), -status.open, status.owner))


def _known(entry: WorkerEntry, owned: int, now: datetime) -> WorkerStatus:
    silent_s = max(0.0, (now - entry.beat_at).total_seconds())
    state: WorkerState = "fenced" if entry.fenced else "silent" if silent_s > entry.lease else "alive"
    return WorkerStatus(
        owner=entry.owner,
        state=state,
        open=owned,
        host=entry.host,
        pid=entry.pid,
        started_at=entry.started_at,
        beat_at=entry.beat_at,
        silent_s=round(silent_s, 3),
        lease=entry.lease,
        running=entry.running if state == "alive" else (),
    )


@dataclass(frozen=True, slots=True)
class RunningNow:
    """A delivery that a living worker runs, and for how many seconds."""

    owner: str
    handler: str
    event_id: str
    since: datetime
    for_s: float


@dataclass(frozen=True, slots=True)
class LivingWorkers:
    """The number of the workers that are alive, and what they run, the longest running first."""

    number: int
    running: tuple[RunningNow, ...]


async def living(store: EventStore) -> LivingWorkers:
    """Return the workers that are alive and what they run, as of their last heartbeats."""
    entries = (await WorkerRegistry(store).entries()).values()
    now = await store.now()
    statuses = [status for entry in entries if (status := _known(entry, 0, now)).state == "alive"]
    return LivingWorkers(len(statuses), tuple(longest_first(statuses, now)))


def longest_first(statuses: Iterable[WorkerStatus], now: datetime) -> list[RunningNow]:
    """Return what workers run, the longest running first."""
    running = [
        RunningNow(status.owner, one.handler, one.event_id, one.since, round((now - one.since).total_seconds(), 3))
        for status in statuses
        for one in status.running
    ]
    return sorted(running, key=lambda one: one.since)
