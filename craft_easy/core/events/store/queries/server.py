"""The server of the log: its kind, its clock, its abilities, and the step at which a connection to it fails."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import pymongo
from bson.errors import BSONError
from pymongo.errors import ConfigurationError, PyMongoError
from pymongo.uri_parser import parse_uri

from craft_easy.core.events import clock
from craft_easy.core.events.errors import EventsError
from craft_easy.core.events.settings import EMBEDDED
from craft_easy.core.events.store import drivers, faults
from craft_easy.core.events.store.encoding import CODEC

if TYPE_CHECKING:
    from craft_easy.core.events.store.log import Log

OLDEST: Final = (4, 4)
"""The oldest version of MongoDB on which the store suite passes."""
_PINGS: Final = 5
_LOOK_EVERY: Final = 0.05
_PROBE: Final = "no worker: a probe"


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """The version and kind of a server.

    Args:
        where: `host:port` of its members.
        topology: "replica set", "sharded cluster" or "single server".
        set_name: of the replica set.
        product: "MongoDB", or "SecantusDB" for the embedded log.
        latency_ms: the median of some pings.
    """

    where: str
    product: str
    version: str
    topology: str
    set_name: str | None
    is_embedded: bool
    is_writable: bool
    latency_ms: float

    @property
    def has_streams(self) -> bool:
        """True if servers of this kind have change streams and transactions."""
        return self.topology != "single server"

    @property
    def is_too_old(self) -> bool:
        """True if its version is not supported any more."""
        parts = self.version.split(".")[:2]
        return not self.is_embedded and all(part.isdigit() for part in parts) and tuple(map(int, parts)) < OLDEST


async def facts(store: Log) -> ServerFacts:
    """Return the facts of the log's server.

    Raises:
        StoreUnavailable: the server was not reached.
        StoreLoginRefused: the server refused the login.
    """
    async with store.call() as connection:
        admin = connection.database.client["admin"]
        hello = await drivers.hello(admin)
        build = await admin.command("buildInfo", read_preference=drivers.PRIMARY)
        times = []
        for _ in range(_PINGS):
            began = clock.steady()
            await admin.command("ping", read_preference=drivers.PRIMARY)
            times.append((clock.steady() - began) * 1000)
    is_embedded = hello.get("setName") == drivers.EMBEDDED_SET
    return ServerFacts(
        where=connection.where,
        product="SecantusDB" if is_embedded else "MongoDB",
        version=str(build.get("secantusVersion" if is_embedded else "version", "of unknown version")),
        topology=_topology(hello),
        set_name=hello.get("setName"),
        is_embedded=is_embedded,
        is_writable=bool(hello.get("isWritablePrimary", hello.get("ismaster"))),
        latency_ms=round(median(times), 2),
    )


def _topology(hello: Any) -> str:
    if hello.get("msg") == "isdbgrid":
        return "sharded cluster"
    return "replica set" if hello.get("setName") else "single server"


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """The lead of this machine's clock over the database's, negative if it is behind, with the possible error."""

    ahead: timedelta
    error: timedelta


async def clock_offset(store: Log) -> ClockOffset:
    """Compare the clocks; of several replies the quickest one counts, whose error is the smallest."""
    offsets = [await _offset(store) for _ in range(_PINGS)]
    return min(offsets, key=lambda offset: offset.error)


async def _offset(store: Log) -> ClockOffset:
    before = clock.now()
    there: datetime = await store.now()
    after = clock.now()
    half = (after - before) / 2
    return ClockOffset(before + half - there, half + timedelta(milliseconds=1))


async def acknowledge(store: Log) -> float:
    """Make a majority write that changes nothing and return the milliseconds that it took.

    Raises:
        StoreUnavailable: the majority did not acknowledge it in time.
        StoreLoginRefused: this user may not write.
    """
    async with store.call() as connection:
        began = clock.steady()
        await connection.workers.delete_one({"_id": _PROBE})
    return (clock.steady() - began) * 1000


async def try_transaction(store: Log) -> None:
    """Read in a transaction and abort it.

    Raises:
        StoreError: the server has no transactions.
    """
    async with store.call() as connection:
        session = await drivers.start_session(connection.database.client)
        try:
            await drivers.resolved(session.start_transaction())
            await connection.events.find_one({"_id": _PROBE}, {"_id": 1}, session=session)
            await session.abort_transaction()
        finally:
            await session.end_session()


# ---------------------------------------------------------------- step by step


@dataclass(frozen=True, slots=True)
class Probe:
    """One step of connecting to a server and its result: `address`, `dns`, `tcp`, `hello` or `login`."""

    step: str
    is_passed: bool
    text: str


async def probe(uri: str, *, seconds: float = 5.0) -> AsyncGenerator[Probe, None]:
    """Yield the steps of connecting to a server, up to the first that fails.

    Args:
        uri: a MongoDB URI, or `embedded:DIR`.
        seconds: for each step.
    """
    if uri.startswith(EMBEDDED):
        return  # the error of joining it is enough
    try:
        hosts = await asyncio.wait_for(asyncio.to_thread(_hosts, uri), seconds)
    except (PyMongoError, BSONError, ValueError, TypeError, TimeoutError) as error:
        yield Probe("address", is_passed=False, text=_cause(error, uri))
        return
    yield Probe("address", is_passed=True, text=", ".join(f"{host}:{port}" for host, port in hosts))
    for step, look in (("dns", _resolve), ("tcp", _connect)):
        results = await asyncio.gather(*(_tried(look, host, port, seconds) for host, port in hosts))
        # one host that is reached is enough: a replica set names the others
        is_passed = any(passed for passed, _ in results)
        yield Probe(step, is_passed=is_passed, text="; ".join(text for _, text in results))
        if not is_passed:
            return
    async with aclosing(_greeting(uri, seconds)) as greeting:
        async for probe in greeting:
            yield probe


def _hosts(uri: str) -> list[tuple[str, int | None]]:
    return [(host, port) for host, port in parse_uri(uri, warn=False)["nodelist"]]


def _cause(error: Exception, uri: str) -> str:
    if isinstance(error, TimeoutError):
        return "its SRV record could not be looked up in time"
    # the look-up, or an option: never the part before the @
    return (
        faults.one_line(str(error)) if isinstance(error, ConfigurationError) else faults.invalid_uri(error, uri).reason
    )


async def _tried(look: Any, host: str, port: int | None, seconds: float) -> tuple[bool, str]:
    try:
        async with asyncio.timeout(seconds):
            return True, await look(host, port)
    except TimeoutError:
        return False, f"{host}:{port} does not answer within {seconds:g} s"
    except OSError as error:
        # asyncio puts the address into the text; an unknown name has a negative number
        known = error.errno is not None and error.errno > 0
        reason = os.strerror(error.errno or 0) if known else error.strerror or str(error)
        return False, f"{host}:{port}: {reason.lower()}"


async def _resolve(host: str, port: int | None) -> str:
    if port is None:
        return f"{host} is a socket of this machine"
    infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = dict.fromkeys(str(info[4][0]) for info in infos)
    return f"{host} is an address" if list(addresses) == [host] else f"{host} is {', '.join(addresses)}"


async def _connect(host: str, port: int | None) -> str:
    if port is None:
        _, writer = await asyncio.open_unix_connection(host)
    else:
        _, writer = await asyncio.open_connection(host, port)
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return f"{host}:{port} accepts connections"


async def _greeting(uri: str, seconds: float) -> AsyncGenerator[Probe, None]:
    client = drivers.new_client(uri)
    try:
        hello = await _hello(client, seconds)
        yield hello
        if hello.is_passed:
            yield await _login(client, seconds)
    finally:
        await drivers.close(client)


async def _hello(client: Any, seconds: float) -> Probe:
    """Wait for the reply to `hello`, which a server gives before any login."""
    deadline = clock.steady() + seconds
    await client.aconnect()
    while True:
        servers = list(client.topology_description.server_descriptions().values())
        known = [server for server in servers if server.is_server_type_known]
        if any(server.is_readable and server.is_writable for server in known):
            return Probe("hello", is_passed=True, text=f"{client.topology_description.topology_type_name}")
        if clock.steady() >= deadline:
            return Probe("hello", is_passed=False, text=_why_silent(client, servers))
        await asyncio.sleep(_LOOK_EVERY)


def _why_silent(client: Any, servers: Sequence[Any]) -> str:
    errors = [faults.one_line(str(server.error)) for server in servers if server.error is not None]
    if errors:
        return errors[0].partition(" (configured timeouts")[0]
    kind = client.topology_description.topology_type_name
    if kind.startswith("ReplicaSet"):
        return "the replica set has no primary, or has another name than in the address"
    return "it accepts connections but does not answer as MongoDB does"


async def _login(client: Any, seconds: float) -> Probe:
    try:
        with faults.translate_errors("the server"), pymongo.timeout(seconds):
            status = await client.admin.command("connectionStatus", codec_options=CODEC)
    except EventsError as error:
        return Probe("login", is_passed=False, text=error.message)
    users = [str(user.get("user")) for user in status.get("authInfo", {}).get("authenticatedUsers", ())]
    return Probe("login", is_passed=True, text=f"as {', '.join(users)}" if users else "no login was needed")
