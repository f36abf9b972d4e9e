"""`handlers pause` and `handlers resume`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from craft_easy.core.events.errors import HandlerNotInLog
from craft_easy.core.events.model.pause import Pause, PausedHandler
from craft_easy.core.events.model.times import Moment
from craft_easy.core.events.operations import pauses
from craft_easy.core.events.settings import Modules, Settings
from craft_easy.core.events.store import EventStore
from craft_events_cli import acting, loading, params, terminal
from craft_events_cli.acting import Confirmation
from craft_events_cli.connection import opened
from craft_events_cli.errors import ExitCode, UsageError
from craft_events_cli.output import spans
from craft_events_cli.output.pauses import (
    known_lines,
    open_deliveries,
    pause_row,
    paused_lines,
    until_text,
    write_pause,
)
from craft_events_cli.terminal import Output


@dataclass(frozen=True, slots=True)
class WantedPause:
    """The pause that was asked for, as it was typed."""

    handler_id: str
    until: Moment | None
    reason: str | None

    def ends_at(self, now: datetime) -> datetime | None:
        """Return the end of the pause; a duration counts forward from the database's `now`.

        Raises:
            UsageError: it is not in the future.
        """
        if self.until is None:
            return None
        try:
            end = self.until.ahead(now, spans.zone())
        except ValueError as error:
            raise UsageError(f"--until: {error}") from None
        if end <= now:
            hint = "--until is the end of the pause: 2h, 18:00 or 2026-01-31T18:00:00Z"
            raise UsageError(f"--until: {spans.stamp(end)} is in the past", hint=hint)
        return end


async def pause(
    settings: Settings, asking: params.Asking, modules: Modules, wanted: WantedPause, output: Output
) -> ExitCode:
    """Pause a handler."""
    async with opened(settings) as store:
        until = wanted.ends_at(await store.now())
        await _require_known(store, wanted.handler_id, modules)
        action = PauseAction(store, Pause(wanted.handler_id, until=until, reason=wanted.reason), output)
        return await acting.carry_out(action, asking, settings)


async def _require_known(store: EventStore, handler_id: str, modules: Modules) -> None:
    """Check that the log names the handler, or else that a handler module registers it.

    Modules are loaded only then: one that cannot be loaded must not keep an operator from pausing its handlers.

    Raises:
        HandlerNotInLog: neither does.
    """
    try:
        await pauses.require_known(store, handler_id)
    except HandlerNotInLog as error:
        if not modules.handlers.value:
            error.hint = "no open, dead or recent event names it; -m MODULE finds a handler without any event yet"
            raise
        await pauses.require_known(store, handler_id, loaded=loading.load_bus(modules).registry.names())


class PauseAction:
    """Pauses a handler.

    Args:
        store: the event log.
        wanted: the handler, the end and the reason.
        output: the format of stdout.
    """

    def __init__(self, store: EventStore, wanted: Pause, output: Output) -> None:
        self._store = store
        self._wanted = wanted
        self._output = output

    async def dry_run(self) -> ExitCode:
        waiting = await self.count()
        write_pause(pause_row(PausedHandler(self._wanted, waiting), was_paused=None, dry_run=True), self._output)
        terminal.note(f"{open_deliveries(waiting)} would wait · nothing was written")
        return ExitCode.DONE

    async def count(self) -> int:
        return await pauses.waiting(self._store, self._wanted.handler)

    def question(self, found: int) -> Confirmation:
        until = until_text(self._wanted.until)
        verb = "waits" if found == 1 else "wait"
        return Confirmation(f"{self._wanted.handler} is paused {until}: {open_deliveries(found)} {verb}, and new ones.")

    async def act(self, agreed: int | None) -> ExitCode:
        wanted = self._wanted
        change = await pauses.pause(
            self._store, wanted.handler, by=acting.operator(), until=wanted.until, reason=wanted.reason
        )
        paused = PausedHandler(change.pause, change.waiting)
        write_pause(pause_row(paused, was_paused=change.former is not None, dry_run=False), self._output)
        for line in paused_lines(paused, change.former):
            terminal.note(line)
        return ExitCode.DONE


async def resume(settings: Settings, asking: params.Asking, handler_id: str, output: Output) -> ExitCode:
    """End the pause of a handler."""
    async with opened(settings) as store:
        await pauses.require_known(store, handler_id)
        return await acting.carry_out(ResumeAction(store, handler_id, output), asking, settings)


class ResumeAction:
    """Ends the pause of a handler."""

    def __init__(self, store: EventStore, handler_id: str, output: Output) -> None:
        self._store = store
        self._handler_id = handler_id
        self._output = output

    async def dry_run(self) -> ExitCode:
        found = await self.count()
        self._write(found, dry_run=True)
        if found is not None:
            terminal.note(f"{open_deliveries(found.waiting)} would be due · nothing was written")
        return ExitCode.DONE

    async def count(self) -> PausedHandler | None:
        return next((one for one in await pauses.paused_handlers(self._store) if one.handler == self._handler_id), None)

    def question(self, found: PausedHandler | None) -> Confirmation | None:
        if found is None:
            return None
        verb = "is" if found.waiting == 1 else "are"
        return Confirmation(f"{found.handler} is resumed: {open_deliveries(found.waiting)} {verb} due.")

    async def act(self, agreed: PausedHandler | None) -> ExitCode:
        former = await pauses.resume(self._store, self._handler_id)
        waiting = await pauses.waiting(self._store, self._handler_id)
        self._write(None if former is None else PausedHandler(former, waiting), dry_run=False)
        return ExitCode.DONE

    def _write(self, found: PausedHandler | None, *, dry_run: bool) -> None:
        shown = found or PausedHandler(Pause(self._handler_id), 0)
        write_pause(pause_row(shown, was_paused=found is not None, dry_run=dry_run), self._output)
        for line in known_lines(self._handler_id, found, dry_run=dry_run):
            terminal.note(line)
