"""The server is stopped with SIGSTOP: connections stay open without answers, and every call ends in time."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest

from craft_easy.core.events.clock import steady
from craft_easy.core.events.errors import StoreUnavailable
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.operations import dead
from craft_easy.core.events.operations.workers import workers
from craft_easy.core.events.redispatch import loop
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.store.deliveries import UNOWNED, Deliveries
from craft_events_cli.errors import ExitCode
from tests.faults.application import SHORT_DEADLINE, SLACK_S, Gate, application, deliver, events, states
from tests.support.server import Server

ROOT: Final = Path(__file__).parents[2]
CLI_S: Final = 90.0
COMMANDS: Final = (
    ["replay"],
    ["tail"],
    ["show", "one"],
    ["workers"],
    ["dead", "list"],
    ["redispatch", "-m", "tests.proof.application"],
)


async def _drained(stream: Any) -> None:
    async for _ in stream:
        pass


CALLS: Final[dict[str, Callable[[EventStore], Awaitable[object]]]] = {
    "append": lambda store: store.append(events(1)[0]),
    "append_many": lambda store: store.append_many(events(3), handlers=["a"]),
    "get": lambda store: store.get("one"),
    "replay": lambda store: store.replay(),
    "stream": lambda store: _drained(store.stream()),
    "count": lambda store: store.count(Selection()),
    "now": lambda store: store.now(),
    "watch": lambda store: store.watch(Selection()),
    "owners": lambda store: Deliveries(store).owners(),
    "claim": lambda store: Deliveries(store).claim([1], UNOWNED, owner="x", at=events(1)[0].timestamp),
    "workers": workers,
    "dead.retry": dead.retry,
    "dead.deliveries": lambda store: _drained(dead.deliveries(store)),
}


async def test_every_call_to_a_frozen_server_ends_in_time(server: Server, database_name: str) -> None:
    async with EventStore(database_name, uri=server.uri) as store:
        await store.append(events(1)[0])
        store.timeout = SHORT_DEADLINE
        server.freeze()
        ended = await asyncio.gather(*(_ending(call(store)) for call in CALLS.values()))
        server.thaw()
    late = {name: took for name, took in zip(CALLS, ended, strict=True) if took > SHORT_DEADLINE + SLACK_S}
    assert late == {}


async def _ending(call: Awaitable[object]) -> float:
    """Return the time that a call took to fail."""
    began = steady()
    with pytest.raises(StoreUnavailable):
        await call
    return steady() - began


async def test_a_publish_and_a_redispatch_end_in_time_and_what_was_owned_is_finished_later(
    server: Server, database_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "OUTAGE_LIMIT_S", 1.0)
    monkeypatch.setattr(loop, "WRITING_S", 1.0)
    gate = Gate()
    async with application(server.uri, database_name, lease=30) as bus:
        bus.subscribe("*", gate, id="a", background=True)
        await bus.publish(event := events(1)[0])
        bus.publisher.store.timeout = SHORT_DEADLINE
        server.freeze()
        took = await asyncio.gather(_ending(bus.publish(events(1)[0])), _ending(deliver(bus, grace=0.1)))
        assert took[0] < SHORT_DEADLINE + SLACK_S
        assert took[1] < 1 + 3 * (SHORT_DEADLINE + 1) + SLACK_S
        server.thaw()
        gate.opened.set()
        await bus.drain()
        assert await states(bus.publisher.store, [event]) == {("done", None): 1}


async def test_every_command_ends_in_time_and_reports_that_the_database_does_not_answer(
    server: Server, database_name: str
) -> None:
    async with EventStore(database_name, uri=server.uri) as store:
        await store.append(events(1)[0])
    server.freeze()
    ended = await asyncio.gather(*(_run(command, server.uri, database_name) for command in COMMANDS))
    server.thaw()
    assert {code for code, _ in ended} == {ExitCode.UNREACHABLE}
    assert all("before the deadline" in said for _, said in ended)


async def _run(command: list[str], uri: str, database: str) -> tuple[int | None, str]:
    """Run a command and return its exit code and output."""
    program = str(Path(sys.executable).with_name("craft-events"))
    where = ["--uri", uri, "--database", database]
    process = await asyncio.create_subprocess_exec(
        program, *command, *where, cwd=ROOT, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(CLI_S):
            _, said = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.communicate()
        raise
    return process.returncode, said.decode()
