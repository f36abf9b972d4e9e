"""`craft-events tail`: follow the log live."""

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from craft_events_cli import lifecycle, params, terminal, values
from craft_events_cli.connection import IfMissing, opened
from craft_events_cli.errors import ExitCode, UsageError
from craft_events_cli.expanding import expanded
from craft_events_cli.matching import Grep, search_text
from craft_events_cli.output.counts import counted
from craft_events_cli.terminal import Output

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from craft_easy.core.events.history.tail import Block
    from craft_easy.core.events.model.selection import Selection
    from craft_easy.core.events.settings import Settings
    from craft_easy.core.events.store import EventStore

app = typer.Typer(add_completion=False)

FOLLOWING: Final = "Following"


def span(text: str) -> float:
    """Read a duration of more than nothing."""
    if not (found := values.seconds(text)):
        raise ValueError(f'"{text[:80]}" is not a time to wait. Try 30s or 5m')
    return found


@dataclass(frozen=True, slots=True)
class Followed(params.Filtering):
    """Which events: a tail has no end, and its order is that of the log."""

    since: params.Since = None
    limit: params.Limit = None

    def selection(self, now: datetime) -> "Selection":
        """Return the selection; a beginning that was asked for is echoed on stderr."""
        chosen = params.Limiting(self.tenant, self.no_tenant, self.type, self.actor, self.since, limit=self.limit)
        return chosen.selection(now)


@dataclass(frozen=True, slots=True)
class Leaving:
    """Which of the selected events are left out."""

    exclude_type: params.ExcludeTypes = field(default_factory=list)
    grep: Annotated[
        list[str],
        typer.Option(
            "--grep",
            metavar="TEXT",
            parser=values.reads(search_text),
            help="show only events that contain this text",
            rich_help_panel=params.SELECTING,
        ),
    ] = field(default_factory=list)

    @property
    def only(self) -> Grep | None:
        """The choice that `--grep` makes."""
        return Grep(self.grep) if self.grep else None


@dataclass(frozen=True, slots=True)
class Following:
    """The events to begin with, and whether new ones are awaited."""

    last: Annotated[
        int | None,
        typer.Option(
            "-n",
            "--last",
            metavar="N",
            parser=values.reads(values.whole_number),
            help="begin with the last N events; 10 without --since",
            rich_help_panel=FOLLOWING,
        ),
    ] = None
    follow: Annotated[
        bool,
        typer.Option("--follow/--no-follow", help="keep showing new events", rich_help_panel=FOLLOWING),
    ] = True
    outcomes: Annotated[
        bool,
        typer.Option("--outcomes", help="show deliveries too, as they end", rich_help_panel=FOLLOWING),
    ] = False
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--checkpoint",
            metavar="FILE",
            help="keep the position here, and continue from it",
            rich_help_panel=FOLLOWING,
        ),
    ] = None
    wait_max: Annotated[
        float | None,
        typer.Option(
            "--wait-max",
            metavar="TIME",
            parser=values.reads(span),
            help="stop after this long without an event: 30s, 5m",
            rich_help_panel=FOLLOWING,
        ),
    ] = None

    def __post_init__(self) -> None:
        """Refuse options that only a tail that follows can have."""
        given = (("--outcomes", self.outcomes), ("--checkpoint", self.checkpoint), ("--wait-max", self.wait_max))
        for option, value in given:
            if value and not self.follow:
                raise UsageError(f"{option} is for following the log", hint="leave out --no-follow")

    @property
    def is_resumed(self) -> bool:
        """True if the checkpoint has a position to continue from."""
        try:
            return self.checkpoint is not None and self.checkpoint.stat().st_size > 0
        except (OSError, ValueError):
            return False


@app.command()
@expanded
def tail(
    where: Followed,
    leaving: Leaving,
    following: Following,
    connection: params.Connecting,
    output: params.Format = None,
) -> ExitCode:
    """Follow the log live: the last events, then each new one as it is stored.

    Examples:
        craft-events tail --tenant acme --outcomes
        craft-events tail -n 0 --type 'order.*' --grep o_99 | jq .payload
        craft-events tail --checkpoint orders.checkpoint -o ndjson >> orders.ndjson
    """
    chosen = terminal.output_format(output, endless=following.follow)
    if following.outcomes and chosen is Output.CSV:
        raise UsageError("-o csv has a form for events alone: use -o ndjson or -o table with --outcomes")
    return lifecycle.run(_tail(connection.settings(), where, leaving, following, chosen))


async def _tail(
    settings: "Settings", where: Followed, leaving: Leaving, following: Following, chosen: Output
) -> ExitCode:
    from craft_easy.core.events.store.change_stream import LogDropped

    out = _Out(chosen)
    if following.is_resumed:
        where = replace(where, since=None)
    if_missing = IfMissing.FOLLOW if following.follow else IfMissing.REFUSE
    async with opened(settings, if_missing=if_missing) as store:
        if following.follow:
            terminal.serving()
        selection = replace(where.selection(await store.now()), except_types=tuple(leaving.exclude_type))
        try:
            with lifecycle.while_read():
                async with aclosing(_blocks(store, selection, leaving, following)) as blocks:
                    await out.write(blocks)
        except LogDropped as ending:
            terminal.note(str(ending))
            if following.checkpoint is not None:
                terminal.note(f"to follow another log, remove {following.checkpoint}")
    terminal.note(out.summary)
    return ExitCode.DONE


def _blocks(
    store: "EventStore", selection: "Selection", leaving: Leaving, following: Following
) -> "AsyncGenerator[Block, None]":
    from craft_easy.core.events.history import tail
    from craft_events_cli.output.feed import notes

    last = tail.LAST if following.last is None else following.last
    observer = notes(f"{store.database_name}.{store.name}")
    if not following.follow:
        return tail.recall(store, selection, last=last, only=leaving.only, observer=observer)
    checkpoint = None
    if following.checkpoint is not None:
        others = {"grep": leaving.grep, "outcomes": following.outcomes}
        checkpoint = tail.checkpoint(following.checkpoint, store, selection, **others)
    return tail.follow(
        store,
        selection,
        last=last,
        only=leaving.only,
        outcomes=following.outcomes,
        wait_max=following.wait_max,
        checkpoint=checkpoint,
        observer=observer,
    )


class _Out:
    """Writes events and outcomes as they come, and counts them."""

    def __init__(self, chosen: Output) -> None:
        from craft_events_cli.output.events import writer
        from craft_events_cli.output.outcome import ending_writer

        self._events = writer(chosen, is_live=True)
        self._outcomes = ending_writer(chosen)
        self._written = self._ended = 0
        self._last: str | None = None

    async def write(self, blocks: "AsyncGenerator[Block, None]") -> None:
        self._events.begin()
        async for block in blocks:
            if block.records:
                self._write_events(block.records)
            if block.endings:
                self._outcomes.write(block.endings, below=self._last)
                self._ended += len(block.endings)
        self._events.close()

    def _write_events(self, records: Sequence[Mapping[str, Any]]) -> None:
        from craft_easy.core.events.model.envelope import read_envelope

        self._events.write(records)
        self._written += len(records)
        self._last = read_envelope(records[-1]).event_id

    @property
    def summary(self) -> str:
        if not self._written and not self._ended:
            return "no events in this selection"
        parts = [counted(self._written, "event")]
        if self._ended:
            parts.append(f"{counted(self._ended, 'delivery', 'deliveries')} ended")
        return " · ".join(parts)
