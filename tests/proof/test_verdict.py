"""The verdict is tested: each broken rule is found, and a correct history passes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.proof import goods, verdict
from tests.proof.ledger import Line
from tests.proof.verdict import Death, Look
from tests.proof.watch import Watch

TIME = "2026-11-26T19:00:00.123Z"


@dataclass
class Story:
    """A history under construction; each line is a second later."""

    lines: list[Line] = field(default_factory=list)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    payments: set[str] = field(default_factory=set)
    bookings: Counter[str] = field(default_factory=Counter)
    deaths: dict[str, Death] = field(default_factory=dict)
    looks: list[Look] = field(default_factory=list)

    def enter(self, name: str, kind: str, **facts: Any) -> None:
        self.lines.append(Line(len(self.lines), name, kind, facts))

    def publish(self, event: str, event_type: str, way: str = "publish", how: str = "ended") -> None:
        """Publish an event by `p`, acknowledge it and handle it."""
        six = {
            "event_id": event,
            "event_type": event_type,
            "tenant_id": None,
            "actor_id": "a",
            "payload": {"text": "$"},
        }
        self.enter("p", "intends", event=event, way=way, record={**six, "timestamp": TIME})
        self.store(six)
        self.enter("p", "acknowledged", events=[event])
        self.handle(event, how=how)

    def store(self, six: Mapping[str, Any]) -> None:
        entry = {"state": "done", "attempts": 1, "crashes": 0}
        entries = [{"id": one, **entry} for one in sorted(goods.HANDLERS[six["event_type"]])]
        delivery = {"state": "done", "owner": None, "handlers": entries}
        moment = datetime.fromisoformat(TIME).astimezone(UTC)
        self.records[six["event_id"]] = {**six, "timestamp": moment, "delivery": delivery}

    def handle(self, event: str, by: str = "p", how: str = "ended") -> None:
        for handler in sorted(goods.HANDLERS[self.records[event]["event_type"]]):
            self.run(event, handler, by, how)
            if handler == goods.BOOK:
                self.bookings[event] += 1

    def run(self, event: str, handler: str, by: str, how: str = "ended") -> None:
        run = f"{len(self.lines)}"
        self.enter(by, "began", run=run, event=event, handler=handler)
        if how:
            self.enter(by, how, run=run)

    def order(self, event: str) -> None:
        self.publish(event, goods.ORDERED)
        for number, (event_type, payload) in enumerate(goods.children(event)):
            self.child(f"{event}.{number}", event_type, payload)

    def child(self, event: str, event_type: str, payload: dict[str, Any]) -> None:
        self.store({"event_id": event, "event_type": event_type, "payload": payload})
        self.handle(event)

    def pay(self, event: str, way: str = "transaction") -> None:
        self.publish(event, goods.PAID, way)
        self.payments.add(event)

    def delivery(self, event: str) -> dict[str, Any]:
        found: dict[str, Any] = self.records[event]["delivery"]
        return found

    def forget(self, kind: str, **facts: str) -> None:
        """Remove the lines with these properties from the ledger."""
        self.lines = [one for one in self.lines if one.kind != kind or not facts.items() <= one.facts.items()]

    def kill(self, name: str) -> None:
        self.deaths[name] = Death(len(self.lines), len(self.lines))

    def look(self, *fenced: str) -> None:
        done = frozenset((event, entry["id"]) for event in self.records for entry in self.delivery(event)["handlers"])
        self.enter("harness", "looked")
        self.looks.append(Look(len(self.lines) - 1, done, frozenset(map(ord, fenced))))

    @property
    def found(self) -> set[str]:
        """The rules that are broken."""
        history = verdict.History(
            lines=self.lines,
            records=list(self.records.values()),
            payments=frozenset(self.payments),
            bookings=self.bookings,
            deaths=self.deaths,
            pids={"p": ord("p"), "w": ord("w")},
            looks=self.looks,
        )
        return {finding.rule for finding in verdict.findings(history)}


def good() -> Story:
    """Return a history that breaks no rule."""
    story = Story()
    story.publish("r", goods.RECEIVED)
    story.order("o")
    story.pay("t")
    story.publish("f", goods.FLAWED)
    return story


def an_acknowledged_event_is_gone(story: Story) -> None:
    del story.records["r"]


def a_handler_run_for_an_event_that_was_never_stored(story: Story) -> None:
    del story.records["r"]
    story.forget("acknowledged")


def a_record_without_a_publisher(story: Story) -> None:
    story.child("x", goods.PACKED, {"order": "another"})


def a_payload_was_changed(story: Story) -> None:
    story.records["r"]["payload"] = {"text": "€"}


def a_time_was_changed(story: Story) -> None:
    story.records["r"]["timestamp"] += timedelta(milliseconds=1)


def a_handler_is_missing_from_the_record(story: Story) -> None:
    story.delivery("r")["handlers"].pop()


def a_record_stayed_open(story: Story) -> None:
    story.delivery("r")["state"] = "open"


def a_record_stayed_owned(story: Story) -> None:
    story.delivery("r")["owner"] = "p"


def a_done_delivery_that_never_ran(story: Story) -> None:
    story.forget("ended")


def dead_without_a_crash(story: Story) -> None:
    story.publish("d", goods.FLAWED, how="failed")
    for entry in story.delivery("d")["handlers"]:
        entry["state"] = "dead"


def a_failure_that_was_counted_twice(story: Story) -> None:
    story.delivery("f")["handlers"][0]["attempts"] = 2


def a_child_too_few(story: Story) -> None:
    del story.records["o.3"]
    story.forget("began", event="o.3")


def a_child_too_many(story: Story) -> None:
    story.child("o.9", goods.PACKED, {"order": "o"})


def an_event_without_its_payment(story: Story) -> None:
    story.payments.remove("t")


def a_payment_without_its_event(story: Story) -> None:
    story.enter("p", "intends", event="b", way="transaction", record={})
    story.payments.add("b")


def a_transaction_that_was_not_rolled_back(story: Story) -> None:
    story.pay("b", "rollback")


def a_booking_twice(story: Story) -> None:
    story.bookings["t"] += 1


def a_delivery_that_ran_again_without_a_crash(story: Story) -> None:
    story.handle("r", "w")


def two_workers_run_one_record(story: Story) -> None:
    story.enter("p", "began", run="x", event="r", handler=goods.JOURNAL)
    story.run("r", f"{goods.MODULE}:count", "w")
    story.enter("p", "failed", run="x")
    story.kill("p")


def a_delivery_that_ran_again_after_it_was_done(story: Story) -> None:
    story.kill("p")
    story.look()
    story.run("r", goods.JOURNAL, "w")


BROKEN: dict[Callable[[Story], None], str] = {
    an_acknowledged_event_is_gone: "lost event",
    a_handler_run_for_an_event_that_was_never_stored: "run without a record",
    a_record_without_a_publisher: "event without a publisher",
    a_payload_was_changed: "changed field",
    a_time_was_changed: "changed field",
    a_handler_is_missing_from_the_record: "lost delivery",
    a_record_stayed_open: "left open",
    a_record_stayed_owned: "left open",
    a_done_delivery_that_never_ran: "done without a run",
    dead_without_a_crash: "lost delivery",
    a_failure_that_was_counted_twice: "more attempts than runs",
    a_child_too_few: "child not stored exactly once",
    a_child_too_many: "child not stored exactly once",
    an_event_without_its_payment: "partial transaction",
    a_payment_without_its_event: "partial transaction",
    a_transaction_that_was_not_rolled_back: "rolled-back write was stored",
    a_booking_twice: "transaction committed twice",
    a_delivery_that_ran_again_without_a_crash: "repeat without a cause",
    two_workers_run_one_record: "owned twice",
    a_delivery_that_ran_again_after_it_was_done: "ran again after it was done",
}


def test_a_history_without_a_broken_rule_passes() -> None:
    assert good().found == set()


@pytest.mark.parametrize("spoil", BROKEN, ids=lambda spoil: spoil.__name__)
def test_a_broken_rule_is_found(spoil: Callable[[Story], None]) -> None:
    story = good()
    spoil(story)
    assert story.found == {BROKEN[spoil]}


def test_a_delivery_may_run_again_after_its_process_was_killed() -> None:
    story = good()
    story.kill("p")
    story.handle("r", "w")
    assert story.found == set()


def test_a_delivery_may_run_again_after_its_worker_was_taken_over_alive() -> None:
    story = good()
    story.handle("r", "w")
    story.look("p")
    assert story.found == set()


def test_a_failed_attempt_is_followed_by_another() -> None:
    story = Story()
    story.publish("f", goods.FLAWED, how="failed")
    story.handle("f", "w")
    assert story.found == set()


def test_a_handler_that_crashed_its_process_too_often_may_be_dead() -> None:
    story = Story()
    story.publish("f", goods.FLAWED, how="")
    for entry in story.delivery("f")["handlers"]:
        entry.update(state="dead", crashes=3)
    assert story.found == set()


def test_a_run_ends_with_its_process() -> None:
    story = Story()
    story.publish("f", goods.FLAWED, how="")
    story.kill("p")
    story.handle("f", "w")
    assert story.found == set()


def watched(*entries: tuple[float, int, bool]) -> list[str]:
    """Return the findings of a watch on a worker with a lease of a second, polled at these times."""
    watch = Watch()
    watch.look([], 0, 0)
    for seconds, beat, fenced in entries:
        watch.look([{"_id": "w", "beat_at": beat, "fenced": fenced, "lease": 1.0}], seconds * 1e9, seconds * 1e9)
    return watch.early


def test_a_worker_that_was_silent_for_its_lease_may_be_taken_over() -> None:
    assert watched((0.1, 1, False), (1.2, 1, False), (1.3, 1, True), (2.0, 1, True)) == []


def test_a_worker_that_sent_a_heartbeat_within_its_lease_may_not_be_taken_over() -> None:
    assert watched((0.1, 1, False), (1.2, 1, False), (1.9, 2, False), (2.1, 2, True)) != []


def test_a_worker_that_sent_a_heartbeat_between_two_polls_may_not_be_taken_over() -> None:
    assert watched((0.1, 1, False), (1.5, 1, False), (1.6, 2, True)) != []


def test_a_watch_that_missed_the_beats_reports_no_worker() -> None:
    assert watched((0.1, 1, False), (1.5, 2, True)) == []
