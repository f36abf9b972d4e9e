"""The state of a model of deliveries: its processes, what they hold, and the checks after every write."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from hypothesis.stateful import RuleBasedStateMachine

from craft_easy.core.events.model.delivery import Delivery
from tests.properties.ledger import Key, Ledger, is_good, must
from tests.properties.memory_log import Clock, Log, MemoryLog
from tests.properties.network import Network, Request, Wire
from tests.properties.process import Held, Process, Run

T = TypeVar("T")


def in_memory(clock: Clock) -> Log:
    """Return a log of dicts."""
    return MemoryLog(Network(asyncio.new_event_loop()), clock)


class NothingThere(Exception):
    """A step has nothing to act on."""


def pick(choices: Sequence[T], number: int) -> T:
    if not choices:
        raise NothingThere
    return choices[number % len(choices)]


class DeliveryState(RuleBasedStateMachine):
    """Processes over a log, and the real history of each delivery."""

    def __init__(self, open_log: Callable[[Clock], Log] = in_memory) -> None:
        super().__init__()
        self.clock = Clock()
        self.log = open_log(self.clock)
        self.network = self.log.network
        self.network.on_arrival = self.observe
        self.ledger = Ledger()
        self.seen: dict[str, Delivery] = {}
        self.processes: list[Process] = []
        self.poison: set[Key] = set()
        self.paused: set[str] = set()
        self.operator = self.new_process(1)

    @property
    def living(self) -> list[Process]:
        """The processes; first those with a running handler and an expired lease, then those that are at work."""
        alive = (one for one in self.processes if not one.is_dead)
        return sorted(alive, key=lambda one: (one.may_start or not one.runs, not one.runs))

    @property
    def able(self) -> list[Process]:
        """Processes that can insert and claim."""
        return [one for one in self.living if one.may_start]

    @property
    def registered(self) -> list[Process]:
        return [one for one in self.living if one.beat_sent is not None]

    @property
    def unregistered(self) -> list[Process]:
        return [one for one in self.living if one.must_register]

    @property
    def held(self) -> list[tuple[Process, Held]]:
        return [(process, held) for process in self.living for held in process.held]

    @property
    def startable(self) -> list[tuple[Process, Held]]:
        return [(process, held) for process, held in self.held if process.may_run(held)]

    @property
    def writable(self) -> list[tuple[Process, Held]]:
        return [(process, held) for process, held in self.held if held.has_to_write]

    @property
    def runs(self) -> list[Run]:
        return [run for process in self.living for run in process.runs]

    @property
    def busy(self) -> list[Process]:
        return [one for one in self.living if one.runs]

    @property
    def requests(self) -> list[Request]:
        return self.network.pending

    @property
    def dead(self) -> list[Key]:
        return [key for key, state in self._handlers() if state == "dead"]

    @property
    def unsettled(self) -> list[Key]:
        return [key for key, state in self._handlers() if state in ("dead", "pending")]

    @property
    def unhandled(self) -> list[str]:
        return [event for event, delivery in self.seen.items() if not delivery.handlers]

    def _handlers(self) -> Iterable[tuple[Key, str]]:
        return (((event, one.id), one.state) for event, delivery in self.seen.items() for one in delivery.handlers)

    def new_process(self, release: int) -> Process:
        wire = Wire(self.network)
        records, registry = self.log.records(wire), self.log.registry(wire)
        return Process(len(self.processes), release, self.clock, wire, records, registry, self.paused)

    # invariants

    def observe(self, author: str) -> None:
        """Compare the log after a call has arrived with the log before, and with the real history."""
        now, workers = self.log.peek(), self.log.peek_workers()
        for event, after in now.items():
            before = self.seen.get(event)
            if before is not None and after != before:
                self.ledger.written(event, before, after, author, is_good=is_good(author, workers))
            if after != before:
                self.ledger.check(event, after)
        self.seen = now
        for process in self.living:
            for event, handler in process.acknowledged:
                entry = now[event].handler(handler)
                must(entry is not None and entry.state in ("done", "skipped"), f"a success of {event} is lost")

    def check_start(self, run: Run) -> None:
        must(not run.process.is_paused(run.due.handler_id) or run.was_noted, f"{run.key} starts and is paused")
        workers = self.log.peek_workers()
        mine = is_good(run.held.owner, workers)
        self.ledger.check_start(run.key, self.seen[run.key[0]], is_good=mine)
        for other in self.runs:
            theirs = is_good(other.held.owner, workers)
            is_allowed = other.process is not run.process and not (mine and theirs)
            must(other.key != run.key or is_allowed, f"{run.key} runs twice and neither worker was taken over")
