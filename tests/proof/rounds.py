"""A round: one database, processes that are killed and restarted, and the comparison at the end."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pymongo
from bson.binary import UUID_SUBTYPE, Binary
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from tests.proof import goods, ledger, verdict
from tests.proof.plans import RANDOM, SERVER, Kill, Plan
from tests.proof.processes import Process, Processes
from tests.proof.servers import Server
from tests.proof.watch import Watch

LEASE: Final = 1.0
LIVE: Final = ("--watch",)
REPAIR: Final = ("--wait", "--now")
PATIENCE_S: Final = 20.0
"""The time limit for a process to reach its point."""
STOP_S: Final = 30.0
REPAIR_S: Final = 240.0
REPAIRS: Final = 6
"""The maximum number of repairs: a delivery that fails runs once in each."""
LOCKED_S: Final = 90.0
"""The time for which an abandoned transaction may keep records locked."""
STARTS: Final = 3
LOOK_S: Final = 5.0
QUOTED: Final = 600
"""The number of characters of a failed process's output that a finding quotes."""
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Victim:
    """A process that was to be killed, and the place of the kill: its point, or another one."""

    process: str
    point: str


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a round.

    Args:
        plan: the plan.
        victims: the killed processes.
        history: the ledger, the log and all observations.
        findings: the broken rules.
        directory: the ledger and the output of the processes.
    """

    plan: Plan
    victims: tuple[Victim, ...]
    history: verdict.History
    findings: tuple[verdict.Finding, ...]
    directory: Path


class Round:
    """Runs one plan.

    Args:
        plan: the processes to kill.
        server: a server for this round only, killed if the plan says so.
        directory: for the ledger and the output of the processes.
        killed: called after each kill.
    """

    def __init__(self, plan: Plan, server: Server, directory: Path, killed: Callable[[str], None]) -> None:
        self._plan = plan
        self._server = server
        self._directory = directory
        self._killed = killed
        self._chance = random.Random(plan.seed)
        self._name = f"craft_proof_{os.urandom(6).hex()}"
        environment = {"CRAFT_EVENTS_URI": server.uri, "CRAFT_EVENTS_DATABASE": self._name}
        self._processes = Processes(directory, environment, is_weak=plan.is_weak)
        self._client: AsyncMongoClient[Document] = AsyncMongoClient(server.uri, tz_aware=True)
        self._database = self._client[self._name]
        self._watch = Watch()
        self._victims: list[Victim] = []
        self._looks: list[verdict.Look] = []
        self._troubles: list[verdict.Finding] = []

    async def run(self) -> Result:
        """Kill processes, finish all open events, and compare the log with the ledger."""
        try:
            for name in (
                goods.PAYMENTS,
                goods.BOOKINGS,
            ):  # creating it in a transaction conflicts with every other one
                await self._database.create_collection(name)
            await self._run_and_finish_all()
            history = await self._history()
            findings = (*verdict.findings(history), *self._troubles)
            if not findings:
                await self._client.drop_database(self._name)
            return Result(self._plan, tuple(self._victims), history, findings, self._directory)
        finally:
            await self._processes.end()
            await self._client.close()

    async def _run_and_finish_all(self) -> None:
        watch = asyncio.create_task(self._watch.run(self._workers()))
        try:
            await self._live()
            await self._finish_all()
        finally:
            watch.cancel()

    async def _live(self) -> None:
        feeder = await self._publisher() if self._plan.is_fed else None
        async with asyncio.TaskGroup() as group:
            for queue in self._plan.queues:
                group.create_task(self._kill_each(queue))
            if self._plan.server_kills:
                group.create_task(self._kill_server())
        if feeder is not None:
            await self._reaches_runs(feeder, 1)  # before that, the process has no signal handler
            await feeder.end(STOP_S)
            if feeder.code:
                self._trouble(feeder, f"a stopped publisher ended with {feeder.code}")

    async def _publisher(self, kill_at: str = "") -> Process:
        return await self._processes.publisher(seed=self._chance.randrange(10**6), lease=LEASE, kill_at=kill_at)

    # kill

    async def _kill_each(self, queue: tuple[Kill, ...]) -> None:
        for kill in queue:
            for _ in range(STARTS):
                process = await self._start(kill)
                await self._run_to_its_end(process, kill)
                if process.is_killed:
                    break

    async def _start(self, kill: Kill) -> Process:
        if kill.role == "publisher":
            return await self._publisher(kill.at)
        return await self._processes.redispatch(*LIVE, lease=LEASE, kill_at=kill.at)

    async def _run_to_its_end(self, process: Process, kill: Kill) -> None:
        """Wait until the process has killed itself at its point, or kill it."""
        if kill.is_at_random or kill.is_in_a_stop:
            await self._reaches_runs(process, kill.times)
        if kill.is_in_a_stop:
            process.tell(signal.SIGTERM)
        is_there = not kill.is_at_random and await process.wait(PATIENCE_S)
        await process.kill()
        if process.is_killed:
            self._victims.append(Victim(process.name, kill.point if is_there else RANDOM))
            self._killed(kill.point)
            if not self._plan.is_locked:
                await self._end_transactions(process)
            await self._look()
        elif process.code not in self._may_exit_with(kill):
            self._trouble(process, f"a process ended with {process.code}")

    async def _end_transactions(self, process: Process) -> None:
        """End the open transactions of killed processes, which the server does by itself only after a minute."""
        lines = ledger.of(self._processes.ledger, process.name)
        held = {line.facts["session"] for line in lines if line.kind == "holds"}
        sessions = [{"id": Binary(bytes.fromhex(session), UUID_SUBTYPE)} for session in held]
        with suppress(PyMongoError), pymongo.timeout(LOOK_S):  # a killed server has ended them
            await self._client.admin.command("killSessions", sessions)

    async def _reaches_runs(self, process: Process, runs: int) -> None:
        """Return at a random moment after this number of handler runs; with none, at any moment of its start."""
        if not runs:
            await process.wait(self._chance.uniform(0.1, 1.0))
        deadline = asyncio.get_running_loop().time() + PATIENCE_S / 2
        while process.code is None and asyncio.get_running_loop().time() < deadline:
            if ledger.count(self._processes.ledger, process.name, "began") >= runs:
                break
            await process.wait(0.02)
        await process.wait(self._chance.uniform(0, 0.02))

    async def _kill_server(self) -> None:
        for _ in range(self._plan.server_kills):
            await self._acknowledge_some()
            await self._server.kill(self._chance.uniform(0, 1.5 * LEASE))
            self._victims.append(Victim("", SERVER))
            self._killed(SERVER)

    async def _acknowledge_some(self) -> None:
        before = self._acknowledged()
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        wanted = before + self._chance.randrange(5, 40)
        while self._acknowledged() < wanted and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 - a file
            await asyncio.sleep(0.01)

    def _acknowledged(self) -> int:
        return ledger.count(self._processes.ledger, "publisher-*", "acknowledged")

    def _may_exit_with(self, kill: Kill) -> set[int]:
        return {0, 3} | ({4} if self._plan.server_kills else set()) | ({143, -15} if kill.is_in_a_stop else set())

    def _trouble(self, process: Process, rule: str) -> None:
        output = process.said.read_text(errors="replace")[-QUOTED:]
        self._troubles.append(verdict.Finding(rule, process.name, f"{process.name} in {self._directory}:\n{output}"))

    # finish what is open
    # finish what is open
    async def _finish_all(self) -> None:
        """Redispatch, without faults, until no event is open."""
        until = asyncio.get_running_loop().time() + (LOCKED_S if self._plan.is_locked else 0)
        repairs = 0
        while repairs < REPAIRS or asyncio.get_running_loop().time() < until:
            repairs += 1
            repair = await self._processes.redispatch(*REPAIR, lease=LEASE)
            if not await repair.wait(REPAIR_S):
                self._trouble(repair, "a redispatch did not end")
                return
            if repair.code not in (0, 3):
                self._trouble(repair, f"a redispatch without faults ended with {repair.code}")
            if not await self._events().count_documents({"delivery.state": "open"}):
                return

    def _events(self) -> Any:
        return self._database["event_log"]

    def _workers(self) -> Any:
        return self._database["event_log_workers"]

    async def _look(self) -> None:
        """Record what is done and which workers were taken over; an unreachable server is skipped."""
        with suppress(PyMongoError), pymongo.timeout(LOOK_S):
            self._looks.append(await self._seen())

    async def _seen(self) -> verdict.Look:
        wanted = {"event_id": 1, "delivery.handlers.id": 1, "delivery.handlers.state": 1}
        done = {
            (record["event_id"], entry["id"])
            async for record in self._events().find({}, wanted)
            for entry in record.get("delivery", {}).get("handlers", ())
            if entry["state"] == "done"
        }
        at = ledger.now()
        fenced = {entry["pid"] async for entry in self._workers().find({"fenced": True})}
        return verdict.Look(at, frozenset(done), frozenset(fenced))

    async def _history(self) -> verdict.History:
        await self._look()
        bookings = [document["event"] async for document in self._database[goods.BOOKINGS].find()]
        payments = {document["_id"] async for document in self._database[goods.PAYMENTS].find()}
        lines = ledger.read(self._processes.ledger)
        last = {line.name: line.at for line in lines}
        killed = [one for one in self._processes.all if one.is_killed]
        return verdict.History(
            lines=lines,
            records=await self._events().find().to_list(None),
            payments=frozenset(payments),
            bookings=Counter(bookings),
            deaths={one.name: verdict.Death(one.alive_at or last.get(one.name, 0), one.seen_at) for one in killed},
            pids={one.name: one.pid for one in self._processes.all},
            looks=tuple(self._looks),
            early=tuple(self._watch.early),
            server_kills=self._server.kills,
        )
