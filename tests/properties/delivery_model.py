"""A model of deliveries: any interleaving of a few processes over a few events, driven through the engine's own code.

The transitions, the watch and the take-over are the engine's; over a real server, the reads and writes are too. Each
call to the log may arrive late, lose its reply or be lost; processes are killed, fall silent and come back; handlers
fail, kill their process, and are paused. After every write the log is compared with the real history of each delivery
(`ledger`), and in the end a fresh worker alone must bring every record to done or dead.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from craft_easy.core.events.model.retry import OutcomeKind
from tests.properties.delivery_state import DeliveryState, pick
from tests.properties.ledger import must
from tests.properties.network import Course, Fate
from tests.properties.process import LEASE, RELEASES, Held, Process, Run

EVENTS: Final = tuple(f"e{number}" for number in range(10))
PROCESSES: Final = 3
"""The maximum number of live processes."""
EVENT_KINDS: Final = ("plain", "plain", "plain", "poison", "unowned", "unhandled")
"""A poisonous event is one whose first handler kills its process; an outbox stores its events unowned."""
ROUNDS: Final = 40
"""The runs of a fresh worker that must finish everything; each event can kill it five times."""

some = st.sampled_from([0, 0, 0, 1, 1, 2, 3])
"""Which of the existing items; low numbers are drawn most often."""
one_call = st.sampled_from([Course(), Course(), Course(), *(Course(0, then) for then in (None, *Fate))])
courses = st.one_of(one_call, st.builds(Course, st.integers(1, 2), st.sampled_from([None, *Fate])))
AFTER_THE_END: Final = (
    "it is written",
    "it is written",
    "it waits",
    "it is on its way",
    "its reply is lost",
    "its reply is lost, it claims, it writes again",
    "its reply is lost, an operator discards, it writes again",
    "it comes late, it writes again",
)
"""The fate of the write after a handler has ended."""
endings = st.sampled_from(
    [
        OutcomeKind.SUCCEEDED,
        OutcomeKind.SUCCEEDED,
        OutcomeKind.SUCCEEDED,
        OutcomeKind.FAILED,
        OutcomeKind.FAILED,
        *OutcomeKind,
    ]
)
how_many = st.sampled_from([1, 1, 2, len(EVENTS)])


def has(name: str) -> Callable[[DeliveryMachine], bool]:
    """Run a rule only if the machine has any of these."""
    return lambda machine: bool(getattr(machine, name))


def _first_write(then: str) -> Course:
    if "late" in then:
        return Course(0, Fate.LATE)
    return Course(0, Fate.REPLY_LOST if "lost" in then else None)


class DeliveryMachine(DeliveryState):
    """Steps of processes, of the network, of the clock and of an operator."""

    # processes

    @initialize(kinds=st.lists(st.sampled_from(EVENT_KINDS), min_size=1, max_size=4))
    def two_processes_start(self, kinds: list[str]) -> None:
        self.start_process(0, Course())
        self.start_process(1, Course())
        for number, kind in enumerate(kinds):
            self._publish(pick(self.able, number), EVENTS[number], kind, Course())

    @precondition(lambda self: len(self.living) < PROCESSES)
    @rule(release=st.integers(0, len(RELEASES) - 1), course=one_call)
    def start_process(self, release: int, course: Course) -> None:
        process = self.new_process(release)
        self.processes.append(process)
        self.network.run(process.register(), process.owner, course)

    @precondition(has("unregistered"))
    @rule(number=some, course=one_call)
    def register_again(self, number: int, course: Course) -> None:
        process = pick(self.unregistered, number)
        self.network.run(process.register(), process.owner, course)

    @precondition(has("living"))
    @rule(number=some, mishap=st.sampled_from(["killed", "killed and taken over", "cut off or back", "stopped"]))
    def a_process_is(self, number: int, mishap: str) -> None:
        process = pick(self.living, number)
        if mishap == "cut off or back":
            process.is_silent = not process.is_silent
        elif mishap == "stopped":
            self._stop(process)
        else:
            self._kill(process)
        if mishap == "killed and taken over":
            self.start_process(len(RELEASES) - 1, Course())
            self.a_lease_passes()
            self._claim_and_start(self.processes[-1])

    def _stop(self, process: Process) -> None:
        """End an idle process; make any other give back the runs that have not started."""
        for held in process.held:
            held.break_off(self.clock.now())
        if process.is_idle:
            self.network.run(process.leave(), process.owner)
            self._kill(process)

    @precondition(has("busy"))
    @rule(
        number=some,
        others=st.sampled_from(["wait", "claim", "fail", "fail later"]),
        beats=st.booleans(),
        ending=st.sampled_from([None, OutcomeKind.SUCCEEDED, OutcomeKind.SUCCEEDED, OutcomeKind.FAILED]),
        runs=how_many,
    )
    def a_process_is_suspended(
        self, number: int, others: str, beats: bool, ending: OutcomeKind | None, runs: int
    ) -> None:
        """One process is silent for a lease, others may take over its records, and then it comes back."""
        process = pick(self.busy, number)
        process.is_silent = True
        self.a_lease_passes()
        process.is_silent = False
        if beats:
            self._beat(process, Course())
        able = [one for one in self.able if one is not process and others != "wait"]
        for other in able:
            self._claim_and_start(other)
            if others == "fail":
                self._end_and_write(other, OutcomeKind.FAILED, len(EVENTS), "it is written")
        if ending is not None:
            self._end_and_write(process, ending, runs, "it is written")
        if others == "fail later":
            for other in able:
                self._end_and_write(other, OutcomeKind.FAILED, len(EVENTS), "it is written")

    def _kill(self, process: Process) -> None:
        self.network.kill(process.wire)
        process.runs.clear()

    @precondition(has("registered"))
    @rule(number=some, chore=st.sampled_from(["looks", "reconciles", "beats"]), course=courses)
    def a_process(self, number: int, chore: str, course: Course) -> None:
        process = pick(self.registered, number)
        if chore == "looks":
            self.network.run(process.look(), process.owner, course)
        elif chore == "reconciles":
            self.network.run(process.reconcile(), process.owner, course)
        else:
            self._beat(process, course)

    def _beat(self, process: Process, course: Course) -> None:
        if not process.is_silent and not process.is_beating and process.beat_sent is not None:
            self.network.run(process.beat(), process.owner, course)

    # records

    @precondition(has("able"))
    @rule(
        number=some,
        kind=st.sampled_from(EVENT_KINDS),
        is_new=st.sampled_from([True, True, True, False]),
        course=one_call,
    )
    def publish(self, number: int, kind: str, is_new: bool, course: Course) -> None:
        event = EVENTS[min(len(self.seen), len(EVENTS) - 1) if is_new else 0]
        self._publish(pick(self.able, number), event, kind, course)

    def _publish(self, process: Process, event: str, kind: str, course: Course) -> None:
        if kind == "poison" and event not in self.seen:
            self.poison |= {(event, next(iter(handlers))) for handlers in RELEASES}
        if kind in ("unowned", "unhandled"):
            handlers = RELEASES[process.release] if kind == "unowned" else {}
            self.network.run(process.append(event, handlers), process.owner, course)
        else:
            self.network.run(process.publish(event), process.owner, course)
            self._start_all(process)

    @precondition(has("able"))
    @rule(number=some, goes_on=st.booleans(), course=courses)
    def claim(self, number: int, goes_on: bool, course: Course) -> None:
        process = pick(self.able, number)
        self.network.run(process.claim(), process.owner, course)
        if goes_on:
            self._start_all(process)

    @precondition(lambda self: len(self.able) > 1)
    @rule(number=some)
    def two_race_for_the_same(self, number: int) -> None:
        first, second = pick(self.able, number), pick(self.able, number + 1)
        self.network.run(first.claim(), first.owner, Course(1))
        self._claim_and_start(second)
        for request in [one for one in self.requests if one.wire is first.wire]:
            self.network.finish(request)
        self._start_all(first)

    @precondition(has("startable"))
    @rule(number=some, course=one_call)
    def start(self, number: int, course: Course) -> None:
        self._start(*pick(self.startable, number), course)

    @precondition(has("busy"))
    @rule(number=some, kind=endings, runs=how_many, then=st.sampled_from(AFTER_THE_END))
    def end(self, number: int, kind: OutcomeKind, runs: int, then: str) -> None:
        self._end_and_write(pick(self.busy, number), kind, runs, then)

    @precondition(has("able"))
    @rule(number=some, kind=endings, runs=how_many, then=st.sampled_from(AFTER_THE_END))
    def take_a_turn(self, number: int, kind: OutcomeKind, runs: int, then: str) -> None:
        process = pick(self.able, number)
        self._claim_and_start(process)
        self._end_and_write(process, kind, runs, then)

    def _end_and_write(self, process: Process, kind: OutcomeKind, runs: int, then: str) -> None:
        """End some of a process's runs, and write their outcomes."""
        self._end_all(process, kind, most=runs)
        if then != "it waits":
            self._write_all(process, Course() if then == "it is written" else _first_write(then))
        if "claims" in then and process.may_start:
            self._claim_and_start(process)
        if "discards" in then:
            self._discard_of(process)
        if "again" in then:
            self._write_all(process, Course())

    def _discard_of(self, process: Process) -> None:
        """Discard one more delivery of each record whose last write got no reply."""
        for event in [held.event_id for held in process.held if held.unwritten]:
            for one in self.seen[event].pending[-1:]:
                self.network.run(self.operator.discard(event, one.id), "operator")

    @precondition(has("writable"))
    @rule(number=some, course=one_call)
    def write(self, number: int, course: Course) -> None:
        process, held = pick(self.writable, number)
        self.network.run(process.write(held), held.owner, course)

    def _claim_and_start(self, process: Process) -> None:
        self.network.run(process.claim(), process.owner)
        self._start_all(process)

    def _write_all(self, process: Process, course: Course) -> None:
        if not process.is_dead:
            for held in [one for one in process.held if one.has_to_write]:
                self.network.run(process.write(held), held.owner, course)

    def _start_all(self, process: Process) -> None:
        while startable := [held for held in process.held if process.may_run(held)]:
            self._start(process, startable[0], Course())

    def _end_all(self, process: Process, kind: OutcomeKind, *, most: int = 100) -> None:
        for run in process.runs[:most]:
            if not process.is_dead:
                self._end(run, kind)

    def _start(self, process: Process, held: Held, course: Course) -> None:
        if held.is_suspect and held.noted is None:
            self.network.run(process.note(held), held.owner, course)
        if not held.is_suspect or held.noted is not None:
            was_noted = held.noted is not None
            due, held.noted = held.noted or held.waiting.popleft(), None
            run = Run(process, held, due, was_noted)
            self.check_start(run)
            self.ledger.starts(run.key)
            held.running += 1
            held.has_run = True
            process.runs.append(run)

    def _end(self, run: Run, kind: OutcomeKind) -> None:
        if run.key in self.poison:
            self._kill(run.process)
            self.ledger.kills(run.key)
            return
        run.process.runs.remove(run)
        run.held.running -= 1
        run.held.ended.append(run.due.ended(kind, self.clock.now()))
        self.ledger.ends(run.key, kind)

    # an operator

    @precondition(has("dead"))
    @rule(number=some, course=courses)
    def an_operator_retries(self, number: int, course: Course) -> None:
        self.network.run(self.operator.retry(*pick(self.dead, number)), "operator", course)

    @precondition(has("unsettled"))
    @rule(number=some, course=courses)
    def an_operator_discards(self, number: int, course: Course) -> None:
        self.network.run(self.operator.discard(*pick(self.unsettled, number)), "operator", course)

    @precondition(has("unhandled"))
    @rule(number=some, course=courses)
    def an_operator_takes_in(self, number: int, course: Course) -> None:
        self.network.run(self.operator.track(pick(self.unhandled, number)), "operator", course)

    @rule(handler=st.sampled_from(["a", "renamed", "b"]), is_paused=st.booleans())
    def an_operator_pauses_or_resumes(self, handler: str, is_paused: bool) -> None:
        """A process learns of it with its next heartbeat."""
        if is_paused:
            self.paused.add(handler)
        else:
            self.paused.discard(handler)

    # the network and the clock

    @precondition(has("requests"))
    @rule(number=some, fate=st.sampled_from([Fate.ARRIVES, Fate.ARRIVES, *Fate]), whole=st.booleans())
    def a_call_meets_its_fate(self, number: int, fate: Fate, whole: bool) -> None:
        request = pick(self.requests, number)
        if whole and fate is Fate.ARRIVES:
            self.network.finish(request)
        else:
            self.network.decide(request, fate)

    @rule(step=st.sampled_from(["a second", "a second", "a lease", "a failover to another clock"]), number=some)
    def there_passes(self, step: str, number: int) -> None:
        if step == "a second":
            self._a_second_passes()
        elif step == "a lease":
            self.a_lease_passes()
        else:
            self.clock.database_is_ahead = pick([0, 10, -10], number)

    def a_lease_passes(self) -> None:
        self._all_poll()
        for _ in range(int(LEASE) + 1):
            self._a_second_passes()
        self._all_poll()

    def _a_second_passes(self) -> None:
        self.clock.seconds += 1
        for process in self.registered:
            if not process.is_refused:
                self._beat(process, Course())

    def _all_poll(self) -> None:
        for process in self.registered:
            if not process.is_silent:
                self.network.run(process.look(), process.owner)

    # the end

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                self._come_to_an_end()
        finally:
            self.log.close()

    def _come_to_an_end(self) -> None:
        while self.requests:
            self.network.decide(self.requests[0], Fate.ARRIVES)
        self._live_processes_own_what_they_hold()
        for process in self.living:
            self._kill(process)
        self.paused.clear()
        self._a_fresh_worker_finishes_everything()

    def _live_processes_own_what_they_hold(self) -> None:
        for process in self.registered:
            self.network.run(process.reconcile(), process.owner)
        for process in self.registered:
            for event, delivery in self.seen.items():
                is_lost = delivery.owner == process.owner and not process.holds(process.deliveries.id_of(event))
                must(not is_lost, f"a live worker owns {event} and does not hold it, so it never runs")

    def _a_fresh_worker_finishes_everything(self) -> None:
        for _ in range(ROUNDS):
            if all(not delivery.is_open for delivery in self.seen.values()):
                return
            if not self.living:
                self.start_process(len(RELEASES) - 1, Course())
            self.a_lease_passes()
            self.claim(0, goes_on=False, course=Course())
            self._run_to_the_end()
        open_ones = {event: delivery for event, delivery in self.seen.items() if delivery.is_open}
        must(not open_ones, f"a third resting place: a fresh worker cannot finish {open_ones}")

    def _run_to_the_end(self) -> None:
        while self.startable or self.runs or self.writable:
            if self.startable:
                self._start(*self.startable[0], Course())
            elif self.runs:
                self._end(self.runs[0], OutcomeKind.SUCCEEDED)
            else:
                self.write(0, Course())
