"""Checks of the log's contents: owners, undelivered events, and the fit of the handlers."""

from __future__ import annotations

import json
import stat
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Any, Final

from craft_easy.core.events import clock
from craft_easy.core.events.errors import LogNotFound
from craft_easy.core.events.operations.doctor.finding import Finding, counted, named
from craft_easy.core.events.operations.handlers import Coverage, coverage
from craft_easy.core.events.operations.pauses import PausedHandler, paused_handlers
from craft_easy.core.events.operations.workers import workers as all_workers
from craft_easy.core.events.store import existence as existence_queries
from craft_easy.core.events.store.formats.event_json import text_of
from craft_easy.core.events.store.queries import doctor as doctor_queries

if TYPE_CHECKING:
    from craft_easy.core.events.handlers.registry import Registry
    from craft_easy.core.events.operations.workers import WorkerStatus
    from craft_easy.core.events.store import EventStore

REDISPATCH: Final = "craft-events redispatch -m MODULE"
_NO_NAME: Final = '$or: [{"delivery.owner": {$not: {$gt: ""}, $ne: null}}, {"delivery.owner": {$type: "array"}}]'
"""In MongoDB's shell; a comparison looks into arrays, and an array is not a name."""
OLD_CHECKPOINT: Final = timedelta(days=1)
MAX_CHECKPOINT: Final = 1_000_000


def directory(store: EventStore) -> list[Finding]:
    """Report a directory that holds no embedded log."""
    try:
        existence_queries.require_directory(store)
    except LogNotFound as error:
        return [Finding.fail("log", error.message, error.hint)]
    return []


async def existence(store: EventStore) -> list[Finding]:
    """Report a log that does not exist."""
    try:
        await existence_queries.require(store)
    except LogNotFound as error:
        return [Finding.fail("log", error.message, error.hint)]
    return []


async def workers(store: EventStore) -> list[Finding]:
    """Look for workers that own open events and send no heartbeats."""
    statuses = await all_workers(store)
    details = {
        state: sum(worker.state == state for worker in statuses) for state in ("alive", "silent", "gone", "fenced")
    }
    silent_owners = [worker for worker in statuses if worker.state != "alive" and worker.open]
    if not silent_owners:
        message = f"{counted(details['alive'], 'worker')} alive" if statuses else "none is registered"
        silent = f", {details['silent']:,} silent and without an event" if details["silent"] else ""
        return [Finding.ok("workers", message + silent, **details)]
    owned = sum(worker.open for worker in silent_owners)
    message = f"{counted(owned, 'open event')} of {named([_worker_text(worker) for worker in silent_owners], 3)}"
    advice = f"the next redispatch takes over from stale workers: {REDISPATCH}   details: craft-events workers"
    return [Finding.warn("workers", message, advice, **details, owned=owned)]


def _worker_text(worker: WorkerStatus) -> str:
    silent_s = worker.silent_s
    return (
        f"{worker.owner} ({worker.state}{f' for {_span(silent_s)}' if silent_s and worker.state == 'silent' else ''})"
    )


def _span(seconds: float) -> str:
    """Return a duration in one unit, of which there are at least two."""
    size, unit = next(((size, unit) for size, unit in ((3_600, "h"), (60, "min")) if seconds >= 2 * size), (1, "s"))
    return f"{seconds / size:,.0f} {unit}"


async def pauses(store: EventStore) -> list[Finding]:
    """Report the handlers that are paused."""
    return [_paused(one) for one in await paused_handlers(store)]


def _paused(one: PausedHandler) -> Finding:
    pause = one.pause
    since = "" if pause.paused_at is None else f" since {pause.paused_at:%Y-%m-%d %H:%M} UTC"
    by = "" if pause.by is None else f" by {named([pause.by])}"
    until = "" if pause.until is None else f" until {pause.until:%Y-%m-%d %H:%M} UTC"
    reason = "" if pause.reason is None else f" ({named([pause.reason])})"
    waiting = f"{counted(one.waiting, 'open delivery', 'open deliveries')} {'waits' if one.waiting == 1 else 'wait'}"
    return Finding.warn(
        "pauses",
        f"{pause.handler} is paused{since}{by}{until}{reason}: {waiting}",
        join(["craft-events", "handlers", "resume", pause.handler]),
        handler=pause.handler,
        paused_at=None if pause.paused_at is None else text_of(pause.paused_at),
        by=pause.by,
        until=None if pause.until is None else text_of(pause.until),
        reason=pause.reason,
        waiting=one.waiting,
    )


async def backlog(store: EventStore) -> list[Finding]:
    """Count the open and dead events, and look for open records that no worker can find."""
    held = await doctor_queries.held(store)
    dead = await doctor_queries.dead(store)
    lost = [group for group in held if group.is_lost]
    open_ = sum(group.records for group in held)
    unowned = sum(group.records for group in held if group.owner is None)
    oldest = min((group.oldest for group in held if isinstance(group.oldest, datetime)), default=None)
    since = "" if oldest is None else f", the oldest from {oldest:%Y-%m-%d %H:%M} UTC"
    details = {"open": open_, "unowned": unowned, "dead": dead, "oldest": None if oldest is None else text_of(oldest)}
    message = f"{open_:,} open, {unowned:,} of them unowned{since}; {dead:,} with a dead delivery"
    findings = [
        Finding.warn("backlog", message, "craft-events dead list --by error", **details)
        if dead
        else Finding.ok("backlog", message, **details)
    ]
    return [*findings, _lost(store, lost)] if lost else findings


def _lost(store: EventStore, lost: Sequence[doctor_queries.OwnedCount]) -> Finding:
    number = sum(group.records for group in lost)
    owners = [json.dumps(group.owner, default=str) for group in lost]
    message = (
        f"{counted(number, 'open record')} of another program, for example {lost[0].event_id}, "
        f"{'has' if number == 1 else 'have'} an owner that is not a name ({named(owners)}): no redispatch finds them"
    )
    free = f'updateMany({{"delivery.state": "open", {_NO_NAME}}}, {{$set: {{"delivery.owner": null}}}})'
    advice = f'in MongoDB\'s shell: db.getCollection("{store.name}").{free}'
    event_ids = [group.event_id for group in lost]
    return Finding.fail("owners", message, advice, records=number, owners=owners, event_ids=event_ids)


async def records(store: EventStore) -> list[Finding]:
    """Sample events, and report the share that has no delivery or had no handler."""
    drawn = await doctor_queries.sample(store)
    details = {
        "events": drawn.events, "looked_at": drawn.looked_at, "untracked": drawn.untracked,
        "unhandled": drawn.unhandled,
    }  # fmt: skip
    if not drawn.looked_at:
        return [Finding.ok("records", "the log is empty", **details)]
    of = f"of {drawn.looked_at:,} drawn at random from {drawn.events:,}"
    findings = []
    if drawn.untracked:
        advice = f"redispatch skips them by default: {REDISPATCH} --include-untracked --since TIME"
        findings.append(Finding.warn("records", f"{drawn.untracked:,} {of} are untracked", advice, **details))
    if drawn.unhandled:
        advice = f"did the application load all its handlers? {REDISPATCH} --include-unhandled delivers them"
        findings.append(
            Finding.warn(
                "records", f"{drawn.unhandled:,} {of} had no handler when they were published", advice, **details
            )
        )
    return findings or [Finding.ok("records", f"all {of} are tracked and had handlers", **details)]


async def malformed(store: EventStore) -> list[Finding]:
    """Count the records that are not events: another program wrote them, and no command changes them."""
    records = await doctor_queries.malformed(store)
    if not records.number:
        return []
    message = f"{counted(records.number, 'record')} without an event id, type or time, for example {named(records.ids)}"
    advice = "another program wrote them: listings leave them out, export writes them unchanged"
    return [Finding.warn("malformed", message, advice, records=records.number, ids=list(records.ids))]


async def handlers(store: EventStore, registry: Registry) -> list[Finding]:
    """Compare the handlers that are loaded with what the log holds."""
    return about(await coverage(store, registry))


def about(coverage: Coverage) -> list[Finding]:
    """Report how well the loaded handlers fit the log."""
    findings = [_orphan(handler, number) for handler, number in coverage.orphans.items()]
    if coverage.unhandled:
        verb = "type of the log has" if len(coverage.unhandled) == 1 else "types of the log have"
        message = f"{len(coverage.unhandled):,} {verb} no handler: {named(coverage.unhandled)}"
        advice = "their events are done without a delivery; is a handler module missing?"
        findings.append(Finding.warn("handlers", message, advice, types=list(coverage.unhandled)))
    for handler, patterns in coverage.idle.items():
        message = f"{handler} is subscribed to {named(patterns)}, which matches no event type in the log"
        findings.append(
            Finding.warn("handlers", message, "is its pattern right?", handler=handler, patterns=list(patterns))
        )
    fits = f"{counted(len(coverage.handlers), 'handler')} for {counted(len(coverage.types), 'event type')}"
    return findings or [Finding.ok("handlers", f"{fits}, all matched")]


def _orphan(handler: str, number: int) -> Finding:
    message = f"{handler} is named by {counted(number, 'open event')} and is not loaded"
    discard = join(["craft-events", "dead", "discard", "--handler", handler, "--pending", "--reason", "TEXT"])
    advice = f"load its module too, or: {discard}"
    return Finding.fail("handlers", message, advice, handler=handler, open=number)


# ---------------------------------------------------------------- files


def checkpoints(paths: Sequence[Path], log: str) -> list[Finding]:
    """Report the command, log and age of each checkpoint, without changing it."""
    return [_checkpoint(path, log) for path in paths]


def _checkpoint(path: Path, log: str) -> Finding:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return Finding.fail("checkpoint", f"{path} is not a file", "name the file that was given with --checkpoint")
        with path.open("rb") as file:
            head = _head(file.read(MAX_CHECKPOINT + 1))
    except OSError as error:
        return Finding.fail("checkpoint", f"{path} cannot be read: {(error.strerror or str(error)).lower()}")
    if head is None:
        return Finding.fail("checkpoint", f"{path} is not a checkpoint", "commands refuse it")
    age = clock.now() - datetime.fromtimestamp(status.st_mtime, UTC)
    message = f"{path}: {head['kind']} of {head['log']}, written {_ago(age)} ago"
    details = {"path": str(path), "kind": head["kind"], "log": head["log"], "age_s": round(age.total_seconds(), 1)}
    if head["log"] != log:
        return Finding.warn("checkpoint", f"{message}: it belongs to another log than {log}", None, **details)
    if age > OLD_CHECKPOINT:
        advice = "does its command still run? a tail can continue only from events that are still in the server's oplog"
        return Finding.warn("checkpoint", message, advice, **details)
    return Finding.ok("checkpoint", message, **details)


def _head(data: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(data) if len(data) <= MAX_CHECKPOINT else None
    except (ValueError, RecursionError):
        return None
    is_checkpoint = (
        isinstance(content, dict) and isinstance(content.get("kind"), str) and isinstance(content.get("log"), str)
    )
    return content if is_checkpoint else None


def _ago(age: timedelta) -> str:
    seconds = max(age.total_seconds(), 0)
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:,.0f} s"
