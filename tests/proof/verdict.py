"""Compares the log with the ledger and reports broken rules. Pure: it reads a history and nothing else."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import combinations, pairwise
from typing import Any, Final

from tests.proof import goods
from tests.proof.ledger import Line

Delivery = tuple[str, str]
"""Event id and handler id."""
LOST: Final = frozenset({"lost event", "lost delivery", "done without a run"})
SIX: Final = ("event_id", "event_type", "tenant_id", "actor_id", "payload", "timestamp")


@dataclass(frozen=True, slots=True)
class Look:
    """The log at one time, while processes worked on it.

    Args:
        at: the time of the answer, by the ledger's clock.
        done: the deliveries that were done.
        fenced: the pids of the workers that were taken over.
    """

    at: int
    done: frozenset[Delivery]
    fenced: frozenset[int]


@dataclass(frozen=True, slots=True)
class Death:
    """A process that was killed.

    Args:
        alive_at: the last time at which it was certainly alive, by the ledger's clock.
        seen_at: the time at which it was found to be dead.
    """

    alive_at: int
    seen_at: int


@dataclass(frozen=True, slots=True)
class Finding:
    """A broken rule: its name, the process that may have broken it, and the details."""

    rule: str
    process: str
    story: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.story}"


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a handler; `ended` is None if its process died during the run."""

    at: int
    process: str
    delivery: Delivery
    how: str | None
    ended: int

    def __str__(self) -> str:
        return f"{self.process} {self.at / 1e9:.3f}–{self.ended / 1e9:.3f} {self.how or 'killed'}"


@dataclass(frozen=True)
class History:
    """All observations of a round after its last redispatch.

    Args:
        lines: the ledger.
        records: the log.
        payments: the ids of the business documents that were written together with an event.
        bookings: how often each event was booked.
        deaths: who was killed, by name.
        pids: the processes of each name.
        looks: observations of the log, in order of time; the last one when nothing was open.
        early: findings about workers that were taken over before their lease had ended.
        server_kills: how often the server was killed.
    """

    lines: Sequence[Line]
    records: Sequence[Mapping[str, Any]]
    payments: frozenset[str]
    bookings: Counter[str]
    deaths: Mapping[str, Death] = field(default_factory=dict)
    pids: Mapping[str, int] = field(default_factory=dict)
    looks: Sequence[Look] = ()
    early: Sequence[str] = ()
    server_kills: int = 0

    @cached_property
    def by_id(self) -> dict[str, Mapping[str, Any]]:
        """The log by event id."""
        return {record["event_id"]: record for record in self.records}

    @cached_property
    def intended(self) -> dict[str, Line]:
        """The events that publishers were about to publish, by event id."""
        return {line.facts["event"]: line for line in self.of("intends")}

    @cached_property
    def acknowledged(self) -> dict[str, str]:
        """The processes to which an event was acknowledged, by event id; children included."""
        acknowledged = {event: line.name for line in self.of("acknowledged") for event in line.facts["events"]}
        return {**{line.facts["event"]: line.name for line in self.of("published")}, **acknowledged}

    @cached_property
    def runs(self) -> dict[Delivery, list[Run]]:
        """All runs of each delivery, in order of time."""
        ends = {line.facts["run"]: line for kind in ("ended", "failed", "broken off") for line in self.of(kind)}
        runs: dict[Delivery, list[Run]] = defaultdict(list)
        for line in self.of("began"):
            runs[line.facts["event"], line.facts["handler"]].append(self._run(line, ends.get(line.facts["run"])))
        return runs

    def _run(self, began: Line, end: Line | None) -> Run:
        delivery = began.facts["event"], began.facts["handler"]
        if end is not None:
            return Run(began.at, began.name, delivery, end.kind, end.at)
        death = self.deaths.get(began.name)
        return Run(began.at, began.name, delivery, None, max(began.at, death.alive_at) if death else began.at)

    def of(self, kind: str) -> Iterator[Line]:
        """Return the lines of a kind."""
        return (line for line in self.lines if line.kind == kind)

    def may_repeat(self, process: str) -> bool:
        """Return whether deliveries of a process may run again: it was killed, taken over, or lost a reply."""
        return process in self.deaths or self.server_kills > 0 or self.was_taken_over_alive(process)

    def was_taken_over_alive(self, process: str) -> bool:
        """Return whether a process was alive, suspended or cut off, when it was taken over."""
        death, pid = self.deaths.get(process), self.pids.get(process)
        looks = [look for look in self.looks if death is None or look.at >= death.seen_at]
        return bool(looks) and pid in (looks[0] if death else looks[-1]).fenced

    def has_evidence_of(self, delivery: Delivery) -> bool:
        """Return whether the ledger, or the documents of the handler's transaction, show that a delivery is done."""
        event, handler = delivery
        if handler == goods.BOOK:
            return self.bookings[event] > 0
        return any(run.how == "ended" for run in self.runs.get(delivery, ()))


@dataclass(frozen=True, slots=True)
class Share:
    """The part of one process in a round."""

    acknowledged: int
    deliveries: int
    repeated: int


def taken_over_alive(history: History) -> list[str]:
    """Return the processes that were taken over while they were alive."""
    return [name for name in history.pids if history.was_taken_over_alive(name)]


def findings(history: History) -> list[Finding]:
    """Return all broken rules."""
    checks = (
        _events,
        _records,
        _deliveries,
        _children,
        _transactions,
        _repeats,
        _owned_twice,
        _done_before,
        _taken_over_early,
    )
    return [finding for check in checks for finding in check(history)]


def shares(history: History) -> dict[str, Share]:
    """Return the part of each process."""
    acknowledged = Counter(history.acknowledged.values())
    began = Counter(run.process for runs in history.runs.values() for run in runs)
    repeated = Counter(run.process for run in repeated_runs(history))
    return {name: Share(acknowledged[name], began[name], repeated[name]) for name in history.pids}


def repeated_runs(history: History) -> list[Run]:
    """Return the runs after which the delivery ran again although it had not failed."""
    return [
        run for runs in history.runs.values() for run, _ in pairwise(runs) if run.how not in ("failed", "broken off")
    ]


def _events(history: History) -> Iterator[Finding]:
    """Every acknowledged event is stored, and every stored event was intended."""
    for event, process in history.acknowledged.items():
        if event not in history.by_id:
            yield Finding("lost event", process, f"{event} was acknowledged to {process} and is not in the log")
    known = {*history.intended, *_children_of_all(history)}
    for event in history.by_id:
        if event not in known:
            yield Finding("event without a publisher", "", event)
    for (event, handler), runs in history.runs.items():
        if event not in history.by_id and event not in history.acknowledged:
            yield Finding("run without a record", runs[0].process, f"{event} {handler}: {runs[0]}")


def _children_of_all(history: History) -> set[str]:
    """Return the ids of the records that name an order; their number is checked elsewhere."""
    orders = history.by_id.keys() | history.intended.keys()
    return {record["event_id"] for record in history.records if record["payload"].get("order") in orders}


def _records(history: History) -> Iterator[Finding]:
    """The six fields of every record are those that were published."""
    for event, line in history.intended.items():
        record = history.by_id.get(event)
        if record is None:
            continue
        meant = {**line.facts["record"], "timestamp": datetime.fromisoformat(line.facts["record"]["timestamp"])}
        changed = [name for name in SIX if record.get(name) != meant[name]]
        if changed:
            yield Finding("changed field", line.name, f"{event}: {', '.join(changed)}")


def _deliveries(history: History) -> Iterator[Finding]:
    """Every record is finished, with all of its handlers, and each of them has run."""
    for record in history.records:
        event, delivery = record["event_id"], record.get("delivery") or {"state": "open", "owner": None, "handlers": []}
        entries = {entry["id"]: entry for entry in delivery["handlers"]}
        process = history.acknowledged.get(event, "")
        if set(entries) != goods.HANDLERS.get(record["event_type"]):
            yield Finding("lost delivery", process, f"{event} {record['event_type']} has {sorted(entries)}")
        if delivery["state"] == "open" or delivery["owner"] is not None:
            yield Finding("left open", process, f"{event} {delivery['state']}, owned by {delivery['owner']}")
        for handler, entry in entries.items():
            yield from _delivery(history, (event, handler), entry)


def _delivery(history: History, delivery: Delivery, entry: Mapping[str, Any]) -> Iterator[Finding]:
    event, handler = delivery
    runs = history.runs.get(delivery, [])
    last = runs[-1].process if runs else history.acknowledged.get(event, "")
    details = f"{event} {handler} {entry['state']}, runs: {'; '.join(map(str, runs)) or 'none'}"
    if entry["attempts"] > len(runs):
        yield Finding("more attempts than runs", last, f"{entry['attempts']} attempts: {details}")
    if history.has_evidence_of(delivery):
        return
    if entry["state"] == "done":
        yield Finding("done without a run", last, details)
    elif not (entry["state"] == "dead" and entry["crashes"] > 0):
        yield Finding("lost delivery", last, details)


def _children(history: History) -> Iterator[Finding]:
    """An order that is done has its children, each exactly once, however often its handler ran."""
    there: dict[str, Counter[str]] = defaultdict(Counter)
    for record in history.records:
        if (order := record["payload"].get("order")) is not None:
            there[order][_content(record["event_type"], record["payload"])] += 1
    for record in history.records:
        if record["event_type"] == goods.ORDERED:
            event = record["event_id"]
            meant = Counter(_content(event_type, payload) for event_type, payload in goods.children(event))
            if there[event] != meant and not (there[event] <= meant and _is_dead(record)):
                process = history.acknowledged.get(event, "")
                yield Finding("child not stored exactly once", process, f"{event} has {dict(there[event])}")


def _content(event_type: str, payload: Mapping[str, Any]) -> str:
    return f"{event_type} {payload.get('number', '')}"


def _is_dead(record: Mapping[str, Any]) -> bool:
    return bool(record.get("delivery", {}).get("state") == "dead")


def _transactions(history: History) -> Iterator[Finding]:
    """A payment and its event are either both stored or both absent; a booking is stored once."""
    for event, line in history.intended.items():
        way, is_there = line.facts["way"], event in history.by_id
        if way != "publish" and is_there != (event in history.payments):
            yield Finding("partial transaction", line.name, f"{event}: {'event' if is_there else 'payment'} alone")
        if way == "rollback" and (is_there or event in history.payments):
            yield Finding("rolled-back write was stored", line.name, event)
    for event, times in history.bookings.items():
        if times != 1:
            details = "; ".join(map(str, history.runs[event, goods.BOOK]))
            yield Finding("transaction committed twice", "", f"{event} {times} times: {details}")


def _repeats(history: History) -> Iterator[Finding]:
    """A delivery runs again only if its process was killed, a reply was lost or its worker was taken over."""
    for run in repeated_runs(history):
        if not history.may_repeat(run.process):
            details = "; ".join(map(str, history.runs[run.delivery]))
            yield Finding("repeat without a cause", run.process, f"{' '.join(run.delivery)}: {details}")


def _owned_twice(history: History) -> Iterator[Finding]:
    """Two processes never work on one record at the same time, unless one was taken over while it was alive."""
    by_event: dict[str, list[Run]] = defaultdict(list)
    for runs in history.runs.values():
        for run in runs:
            by_event[run.delivery[0]].append(run)
    for event, all_runs in by_event.items():
        for one, other in _overlapping(all_runs):
            if not (history.was_taken_over_alive(one.process) or history.was_taken_over_alive(other.process)):
                yield Finding("owned twice", one.process, f"{event}: {one} ({one.delivery[1]}), {other}")


def _overlapping(runs: Iterable[Run]) -> Iterator[tuple[Run, Run]]:
    for one, other in combinations(runs, 2):
        if one.process != other.process and one.at < other.ended and other.at < one.ended:
            yield one, other


def _done_before(history: History) -> Iterator[Finding]:
    """A delivery that was observed as done does not run again."""
    seen: dict[Delivery, int] = {}
    for look in () if taken_over_alive(history) else history.looks:
        seen = {**dict.fromkeys(look.done, look.at), **seen}
    for delivery, at in seen.items():
        for run in history.runs.get(delivery, ()):
            if run.at > at:
                details = f"{' '.join(delivery)}: done at {at / 1e9:.3f}, and again {run}"
                yield Finding("ran again after it was done", run.process, details)


def _taken_over_early(history: History) -> Iterator[Finding]:
    """No worker is taken over before it was silent for a whole lease."""
    return (Finding("taken over too early", "", story) for story in history.early)
