"""The examination of a log: every check of its server, contents, workers and handlers.

    from craft_easy.core.events.operations.doctor.examine import examine

    async for finding in examine(store, registry=bus.registry):
        print(finding.level, finding.check, finding.message)

It writes nothing without `fix`, and then creates indexes and drops none. A check that raises, or has no
answer in time, is a finding like any other, and the rest are still made.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from craft_easy.core.events.errors import EmbeddedLogError, EventsError, StoreLoginRefused, StoreUnavailable
from craft_easy.core.events.operations.doctor import capability, contents
from craft_easy.core.events.operations.doctor.finding import Finding, Level
from craft_easy.core.events.store.queries import server

if TYPE_CHECKING:
    from craft_easy.core.events.handlers.registry import Registry
    from craft_easy.core.events.store import EventStore

__all__ = ["Finding", "Level", "examine", "is_unreachable"]

WITHIN: Final = 10.0

_OF_SERVER: Final = frozenset({"write concern", "change streams", "transactions", "clock"})
"""The checks that are made even where the log does not exist."""

_Check = Callable[[], Awaitable[list[Finding]]]


async def examine(
    store: EventStore,
    *,
    registry: Registry | None = None,
    checkpoints: Sequence[Path] = (),
    uri: str | None = None,
    fix: bool = False,
    ttl: timedelta | None = None,
    seconds: float = WITHIN,
) -> AsyncGenerator[Finding, None]:
    """Yield the findings of each check when it ends.

    Args:
        store: the log.
        registry: the handlers that are loaded; None skips the check of their fit.
        checkpoints: files of commands that read this log.
        uri: its address, for a check step by step if it cannot be reached.
        fix: create the indexes that are missing.
        ttl: look for, and with `fix` create, the index by which done records are removed at this age.
        seconds: the limit of each check but the building of indexes.
    """
    absent = [] if fix else contents.directory(store)
    for finding in absent:
        yield finding
    if not absent:
        async with aclosing(_examined(store, registry, uri, fix=fix, ttl=ttl, seconds=seconds)) as findings:
            async for finding in findings:
                yield finding
    for finding in contents.checkpoints(checkpoints, f"{store.database_name}.{store.name}"):
        yield finding


async def _examined(
    store: EventStore,
    registry: Registry | None,
    uri: str | None,
    *,
    fix: bool,
    ttl: timedelta | None,
    seconds: float,
) -> AsyncGenerator[Finding, None]:
    facts: list[server.ServerFacts] = []  # one, where the server was reached
    async with aclosing(_connection(store, uri, seconds, facts)) as findings:
        async for finding in findings:
            yield finding
    if not facts:
        return
    absent = [] if fix else await _made(lambda: contents.existence(store), "log", seconds)
    for finding in absent:
        yield finding
    for check, name, limit in _checks(store, facts[0], registry, fix=fix, ttl=ttl, seconds=seconds):
        if name in _OF_SERVER or not absent:
            for finding in await _made(check, name, limit):
                yield finding


def is_unreachable(finding: Finding) -> bool:
    """Return whether the database was not reached, so that nothing in it was checked."""
    return finding.details.get("reached") is False


def _checks(
    store: EventStore,
    facts: server.ServerFacts,
    registry: Registry | None,
    *,
    fix: bool,
    ttl: timedelta | None,
    seconds: float,
) -> list[tuple[_Check, str, float | None]]:
    """Return each check, its name, and its time limit."""
    build = None if fix else seconds
    checks: list[tuple[_Check, str, float | None]] = [
        (lambda: capability.write_concern(store), "write concern", seconds),
        (lambda: capability.change_streams(store), "change streams", seconds),
        (lambda: capability.transactions(store, facts), "transactions", seconds),
        (lambda: capability.indexes(store, fix=fix), "indexes", build),
        (lambda: capability.expiration(store, after=ttl, fix=fix), "expiry", build),
        (lambda: capability.clocks(store), "clock", seconds),
        (lambda: contents.workers(store), "workers", seconds),
        (lambda: contents.pauses(store), "pauses", seconds),
        (lambda: contents.backlog(store), "backlog", seconds),
        (lambda: contents.records(store), "records", seconds),
        (lambda: contents.malformed(store), "malformed", seconds),
    ]
    if registry is not None:
        checks.append((lambda: contents.handlers(store, registry), "handlers", seconds))
    return checks


async def _made(check: _Check, name: str, seconds: float | None) -> list[Finding]:
    """Run a check; an exception becomes a finding."""
    try:
        async with asyncio.timeout(seconds):
            return await check()
    except TimeoutError:
        advice = "is the server under load, or an index missing? --within 1m waits longer"
        return [Finding.warn(name, f"no answer within {seconds:g} s", advice)]
    except EventsError as error:
        return [Finding.fail(name, f"could not be checked: {error.message}", error.hint)]
    except Exception as error:  # noqa: BLE001 - one check that is broken must not hide the others
        return [Finding.fail(name, f"could not be checked: {type(error).__name__}: {error}")]


async def _connection(
    store: EventStore, uri: str | None, seconds: float, facts: list[server.ServerFacts]
) -> AsyncGenerator[Finding, None]:
    """Connect and describe the server; if that fails, report the step that failed."""
    try:
        async with asyncio.timeout(seconds):
            facts.append(await server.facts(store))
    except (StoreUnavailable, StoreLoginRefused, EmbeddedLogError) as error:
        failure = Finding.fail("connection", error.message, error.hint, reached=False)
    except TimeoutError:
        failure = Finding.fail("connection", f"no answer within {seconds:g} s", reached=False)
    except EventsError as error:
        failure = Finding.fail("connection", error.message, error.hint)
    else:
        for finding in capability.connection(facts[0]):
            yield finding
        return
    if uri is None:
        yield failure
        return
    is_explained = False
    async with aclosing(server.probe(uri, seconds=min(seconds, 5.0))) as steps:
        async for step in steps:
            is_explained = is_explained or not step.is_passed
            yield _step(step)
    if not is_explained:
        yield failure


_ADVICE: Final = {
    "address": "is the address right? it comes from --uri or CRAFT_EVENTS_URI",
    "dns": "is the host name right, and can this machine resolve it?",
    "tcp": "does the server run on that host and port, and does a firewall block this machine?",
    "hello": "is it MongoDB, with or without TLS (?tls=true), and is the replica set's name right (?replicaSet=NAME)?",
    "login": "check user name, password and authSource of the address, and the rights of that user",
}


def _step(step: server.Probe) -> Finding:
    if step.is_passed:
        return Finding.ok(step.step, step.text)
    return Finding.fail(step.step, step.text, _ADVICE[step.step], reached=False)
