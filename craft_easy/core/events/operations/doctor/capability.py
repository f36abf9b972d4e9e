"""Checks of the server and the capabilities that a log needs: indexes, change streams, transactions, a clock."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from craft_easy.core.events.errors import StoreError, StoreLoginRefused
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.operations.doctor.finding import Finding, counted, named
from craft_easy.core.events.store import indexes as store_indexes
from craft_easy.core.events.store.queries import doctor as doctor_queries
from craft_easy.core.events.store.queries import server
from craft_easy.core.events.store.queries.doctor import Expiry
from craft_easy.core.events.store.queries.server import ServerFacts

if TYPE_CHECKING:
    from craft_easy.core.events.store import EventStore

FIX: Final = "craft-events doctor --fix"
SKEW: Final = timedelta(seconds=5)
"""With clocks further apart, times relative to now differ between this machine and the database."""
SLOW_MS: Final = 1_000.0


def connection(facts: ServerFacts) -> list[Finding]:
    """Describe the server."""
    what = f"{facts.topology} {facts.set_name}" if facts.set_name and not facts.is_embedded else facts.topology
    message = f"{facts.where}, {facts.product} {facts.version}, {what}, {facts.latency_ms:.1f} ms"
    if facts.is_embedded:
        message = f"{facts.where}, embedded log on {facts.product} {facts.version}, {facts.latency_ms:.1f} ms"
    details = {
        "where": facts.where, "product": facts.product, "version": facts.version, "topology": facts.topology,
        "set_name": facts.set_name, "embedded": facts.is_embedded, "latency_ms": facts.latency_ms,
    }  # fmt: skip
    if not facts.is_writable:
        advice = "name the whole set in the address: ?replicaSet=NAME, without directConnection"
        return [Finding.fail("connection", f"{message}: it takes no writes", advice, **details)]
    if facts.is_too_old:
        least = ".".join(map(str, server.OLDEST))
        return [Finding.fail("connection", message, f"the log needs MongoDB {least} or newer", **details)]
    return [Finding.ok("connection", message, **details)]


async def write_concern(store: EventStore) -> list[Finding]:
    """Check that a majority write is acknowledged, with one that changes nothing."""
    try:
        took_ms = round(await server.acknowledge(store), 1)
    except StoreLoginRefused:
        advice = "publish and redispatch need the role readWrite on the database"
        return [Finding.warn("write concern", "this login may not write", advice)]
    except StoreError as error:
        advice = "does a majority of the members that hold data run? see rs.status()"
        return [Finding.fail("write concern", f"no acknowledgement by majority and journal: {error.message}", advice)]
    message = f"majority and journal, acknowledged in {took_ms:,.1f} ms"
    if took_ms > SLOW_MS:
        advice = "every publish waits this long: is a member slow or lagging?"
        return [Finding.warn("write concern", message, advice, took_ms=took_ms)]
    return [Finding.ok("write concern", message, took_ms=took_ms)]


async def change_streams(store: EventStore) -> list[Finding]:
    """Check that a change stream can be opened."""
    try:
        stream = await store.watch(Selection())
    except StoreError as error:
        advice = error.hint or "tail polls every second instead, and shows events of the last minutes only"
        return [Finding.warn("change streams", f"cannot be opened: {error.message}", advice)]
    await stream.aclose()
    return [Finding.ok("change streams", "available")]


async def transactions(store: EventStore, facts: ServerFacts) -> list[Finding]:
    """Check that a transaction can be begun."""
    missing = "the outbox and current_delivery().transaction() need a replica set; everything else works"
    if not facts.has_streams:
        return [Finding.warn("transactions", "not available on a single server", missing)]
    try:
        await server.try_transaction(store)
    except StoreError as error:
        return [Finding.warn("transactions", f"cannot be started: {error.message}", missing)]
    return [Finding.ok("transactions", "available")]


async def indexes(store: EventStore, *, fix: bool) -> list[Finding]:
    """Compare the indexes with those that the log needs; with `fix`, create the missing ones."""
    built = await _built(store) if fix else store_indexes.BuiltIndexes((), {})
    created = list(built.created)
    async with store.call() as connection:
        comparison = await store_indexes.compared(connection)
    building = await doctor_queries.under_construction(store)
    details = {
        "missing": list(comparison.missing), "in_the_way": list(comparison.in_the_way),
        "foreign": list(comparison.foreign), "building": building, "created": created,
    }  # fmt: skip
    findings = []
    if comparison.in_the_way:
        drop = "; ".join(f'db.getCollection("{store.name}").dropIndex("{name}")' for name in comparison.in_the_way)
        verb = "conflicts" if len(comparison.in_the_way) == 1 else "conflict"
        message = f"{named(comparison.in_the_way)} {verb} with a missing index"
        findings.append(Finding.fail("indexes", message, f"in MongoDB's shell: {drop}   then: {FIX}", **details))
    elif comparison.missing and await doctor_queries.is_empty(store):
        message = f"{counted(len(comparison.missing), 'index', 'indexes')} will be created with the first event"
        findings.append(Finding.ok("indexes", message, **details))
    elif comparison.missing:
        message = f"{len(comparison.missing)} missing: {named(comparison.missing, 8)}"
        findings.append(Finding.warn("indexes", message, FIX, **details))
    else:
        message = f"{len(created)} created: {named(created, 8)}" if created else "all there"
        findings.append(Finding.ok("indexes", message, **details))
    if not comparison.in_the_way:
        findings += [_refused(name, reason) for name, reason in built.refused.items()]
    if building:
        message = f"{named(building)} {'is' if len(building) == 1 else 'are'} being built"
        findings.append(Finding.warn("indexes", message, "until they are ready, queries that need them are slow"))
    if comparison.foreign:
        message = f"{counted(len(comparison.foreign), 'index', 'indexes')} not ours: {named(comparison.foreign)}"
        findings.append(
            Finding.ok("indexes", f"{message}; each adds a write to every publish", foreign=len(comparison.foreign))
        )
    if comparison.former:
        message = f"{counted(len(comparison.former), 'index', 'indexes')} of version 1: {named(comparison.former)}"
        findings.append(Finding.ok("indexes", f"{message}; drop them once no worker of version 1 runs"))
    return findings


def _refused(name: str, reason: str) -> Finding:
    return Finding.fail("indexes", f"{name} cannot be created: {reason}", FIX)


async def _built(store: EventStore) -> store_indexes.BuiltIndexes:
    async with store.call(store_indexes.BUILD_DEADLINE) as connection:
        return await store_indexes.build(connection)


async def expiration(store: EventStore, *, after: timedelta | None, fix: bool) -> list[Finding]:
    """Look for indexes by which records are removed; create the safe one if `after` and `fix` are given.

    Args:
        after: the age, since the last delivery ended, at which done records are to be removed; None: no such index.
        fix: create the index where `after` is given and it does not exist.
    """
    expiries = await doctor_queries.expiries(store)
    findings = [_unsafe(store, expiry) for expiry in expiries if not expiry.is_safe]
    safe = next((expiry for expiry in expiries if expiry.is_safe), None)
    if safe is not None:
        findings.append(_expires(store, safe, after))
    elif after is not None and fix:
        await doctor_queries.create_expiring_index(store, after)
        findings.append(Finding.ok("expiry", f"created: done records are removed after {_days(after)}; {BLIND}"))
    elif after is not None:
        command = doctor_queries.shell_command(store.name, after)
        message = f"missing: done records would be removed after {_days(after)}; {BLIND}"
        findings.append(Finding.warn("expiry", message, f"--fix creates it; in MongoDB's shell: {command}"))
    elif not findings:
        findings.append(Finding.ok("expiry", "none: records stay until craft-events prune (or --ttl 90d)"))
    return findings


BLIND: Final = (
    "a TTL index ignores parents, so the retry of a parent that is open or dead publishes a removed child again; "
    "craft-events prune checks parents"
)


def _unsafe(store: EventStore, expiry: Expiry) -> Finding:
    drop = f'in MongoDB\'s shell: db.getCollection("{store.name}").dropIndex("{expiry.name}")'
    message = (
        f"the index {expiry.name} removes records {_days(expiry.after)} after {expiry.field}, open and dead ones too"
    )
    return Finding.fail(
        "expiry", message, drop, name=expiry.name, field=expiry.field, after_s=expiry.after.total_seconds()
    )


def _expires(store: EventStore, expiry: Expiry, after: timedelta | None) -> Finding:
    message = f"done records are removed after {_days(expiry.after)}; {BLIND}"
    if after is None or after == expiry.after:
        return Finding.ok("expiry", message, name=expiry.name, after_s=expiry.after.total_seconds())
    seconds = int(after.total_seconds())
    command = (
        f'db.runCommand({{collMod: "{store.name}", index: {{name: "{expiry.name}", expireAfterSeconds: {seconds}}}}})'
    )
    asked = f"set to {_days(expiry.after)}, not {_days(after)}; {BLIND}"
    return Finding.warn("expiry", asked, f"in MongoDB's shell: {command}", after_s=expiry.after.total_seconds())


def _days(after: timedelta) -> str:
    seconds = after.total_seconds()
    return f"{seconds / 86_400:g} d" if seconds >= 86_400 else f"{seconds:g} s"


async def clocks(store: EventStore) -> list[Finding]:
    """Compare this machine's clock with the database's."""
    offset = await server.clock_offset(store)
    ahead_ms = round(offset.ahead.total_seconds() * 1000)
    error_ms = round(offset.error.total_seconds() * 1000, 1)
    where = "ahead of" if ahead_ms > 0 else "behind"
    message = f"{_span(abs(ahead_ms))} {where} the database's, give or take {error_ms:,.1f} ms"
    if abs(offset.ahead) <= offset.error:
        message = f"the same as the database's, give or take {error_ms:,.1f} ms"
    if abs(offset.ahead) > SKEW + offset.error:
        advice = "set the clock (NTP): events of this machine carry its time, and are sorted by it"
        return [Finding.warn("clock", message, advice, ahead_ms=ahead_ms, error_ms=error_ms)]
    return [Finding.ok("clock", message, ahead_ms=ahead_ms, error_ms=error_ms)]


def _span(milliseconds: int) -> str:
    return f"{milliseconds:,} ms" if milliseconds < 10_000 else f"{milliseconds / 1000:,.0f} s"
