"""`replay` through handlers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from craft_easy.core.events.bus import EventBus
from craft_easy.core.events.checkpoint import Checkpoint
from craft_easy.core.events.engine.report import Began
from craft_easy.core.events.errors import StoreUnavailable
from craft_easy.core.events.history.plan import ReplayPlan
from craft_easy.core.events.history.replay import Replay, ReplayOptions, ReplaySummary
from craft_easy.core.events.settings import Settings
from craft_easy.core.events.store import EventStore
from craft_events_cli import acting, lifecycle, params, terminal
from craft_events_cli.acting import Confirmation
from craft_events_cli.connection import opened
from craft_events_cli.errors import ExitCode
from craft_events_cli.output import next_step
from craft_events_cli.output.counts import counted, missing_lines, write_counts
from craft_events_cli.output.failures import Failures
from craft_events_cli.output.replay import ReplayView, amount, plan_lines, position_line, show, write_summary
from craft_events_cli.terminal import Output

HANGING: Final = "with --checkpoint the same command continues, and reaches that event again"


@dataclass(frozen=True, slots=True)
class Rerun:
    """The events that run again, the handlers that they run through, and how that is reported."""

    bus: EventBus
    where: params.Selecting
    states: Sequence[str]
    options: ReplayOptions
    output: Output
    checkpoint: Path | None
    failures_out: Path | None

    def checkpoint_of(self, store: EventStore) -> Checkpoint | None:
        """Return the checkpoint that was asked for, of this log and these filters alone."""
        if self.checkpoint is None:
            return None
        log = f"{store.database_name}.{store.name}"
        return Checkpoint(self.checkpoint, kind="replay", log=log, filters=self._filters())

    def _filters(self) -> dict[str, Any]:
        """Return the filters as they were typed: `--since 2h` means the same window when the run continues."""
        where = self.where
        given = {
            "--tenant": sorted(where.tenant),
            "--no-tenant": where.no_tenant,
            "--type": sorted(where.type),
            "--actor": sorted(where.actor),
            "--state": sorted(self.states),
            "--since": where.since and where.since.text,
            "--until": where.until and where.until.text,
            "--limit": where.limit,
            "--handler": sorted(self.options.handlers),
            "--cascade": self.options.cascade,
            "--ids-from": _digest(self.options.only),
        }
        return {name: value for name, value in given.items() if value}

    def again(self) -> str:
        """Return the command that runs the failed deliveries again."""
        chosen = [part for one in self.options.handlers for part in ("--handler", one)] or ["--all-handlers"]
        return next_step.loading("replay", "--ids-from", str(self.failures_out), *chosen)


def _digest(only: Mapping[str, frozenset[str] | None] | None) -> str | None:
    """Return a text that is the same for the same events and handlers."""
    if only is None:
        return None
    digest = blake2b(digest_size=16)
    for event_id in sorted(only):
        digest.update(repr((event_id, sorted(only[event_id] or ()))).encode("utf-8", "surrogatepass"))
    return f"{len(only)} events, {digest.hexdigest()}"


async def run(settings: Settings, asking: params.Asking, rerun: Rerun) -> ExitCode:
    """Run the handlers over the range; a handler that never ends does not keep the process alive."""
    async with opened(settings) as store:
        rerun.bus.configure_store(store)
        try:
            selection = rerun.where.selection(await store.now(), states=rerun.states)
            checkpoint = rerun.checkpoint_of(store)
            with nullcontext() if checkpoint is None or asking.dry_run else checkpoint.lock():
                replay = Replay(rerun.bus, selection, rerun.options, checkpoint=checkpoint)
                replay.on_hang = partial(lifecycle.end_what_hangs, remark=HANGING)
                await replay.begin()
                action = ReplayAction(rerun, replay)
                code = await acting.carry_out(action, asking, settings)
        finally:
            await rerun.bus.aclose()
    if action.abandoned:
        lifecycle.leave(code)
    return code


class ReplayAction:
    """Runs handlers over a range of history."""

    def __init__(self, rerun: Rerun, replay: Replay) -> None:
        self._rerun = rerun
        self._replay = replay
        self.abandoned = 0
        """Handlers that never ended."""

    async def dry_run(self) -> ExitCode:
        plan = await self._replay.plan()
        self._tell(plan, is_counted=True)
        write_counts(plan.counts, self._rerun.output)
        terminal.note(f"{amount(plan)} · nothing was run")
        return ExitCode.UNFINISHED if self._replay.missing else ExitCode.DONE

    async def count(self) -> ReplayPlan:
        plan = await self._replay.plan()
        self._tell(plan)
        return plan

    def question(self, found: ReplayPlan) -> Confirmation | None:
        counts = found.counts
        if not counts.events:
            return None
        deliveries = counted(counts.deliveries, "delivery", "deliveries")
        runs = "runs" if counts.deliveries == 1 else "run"
        published = "events that they publish are stored and dispatched"
        if not self._rerun.options.cascade:
            published = "events that they publish are suppressed"
        return Confirmation(f"{deliveries} of {counted(counts.events, 'event')} {runs} again; {published}.")

    async def act(self, agreed: ReplayPlan | None) -> ExitCode:
        plan = await self._count_if_possible() if agreed is None else agreed
        how, goes_on = self._rerun, self._replay.position.mark is not None
        with Failures(how.failures_out, goes_on=goes_on) as failures, ReplayView(how.output, failures) as view:
            stop = lifecycle.Stop(view.note)
            view.show(Began(plan.counts.events))
            summary = await self._replay.run(stop.event, observer=view.show)
        self.abandoned = summary.abandoned
        write_summary(view, summary, how.output, self._next_step(summary, view.first_failed), goes_on=goes_on)
        return stop.exit_code or (ExitCode.DONE if summary.is_clean else ExitCode.UNFINISHED)

    async def _count_if_possible(self) -> ReplayPlan:
        """Count the deliveries; if nobody is asked, the run does not depend on a server that cannot count in time."""
        try:
            return await self.count()
        except StoreUnavailable as error:
            terminal.warn(f"the deliveries could not be counted: {error.message}")
            plan = ReplayPlan()
            self._tell(plan)
            return plan

    def _tell(self, plan: ReplayPlan, *, is_counted: bool = False) -> None:
        if self._replay.position.mark is not None:
            terminal.note(position_line(self._replay.position, str(self._rerun.checkpoint)))
        for line in (*plan_lines(plan, is_counted=is_counted), *missing_lines(self._replay.missing)):
            terminal.note(line)

    def _next_step(self, summary: ReplaySummary, failed: str | None) -> str | None:
        if not summary.is_complete and self._rerun.checkpoint is not None:
            return f"the same command continues from there ({self._rerun.checkpoint})"
        if summary.failed and self._rerun.failures_out is not None:
            return self._rerun.again()
        return None if failed is None else show(failed)
