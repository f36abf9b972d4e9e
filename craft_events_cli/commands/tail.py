"""`craft-events tail`: follow the log live."""

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from craft_events_cli import options, reader, running, terminal
from craft_events_cli.exit_codes import ExitCode, UsageError
from craft_events_cli.shaping import Shaping
from craft_events_cli.terminal import Output

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from craft_easy.core.events.history.tail import Block
    from craft_easy.core.events.model.selection import Selection
    from craft_easy.core.events.settings import Settings
    from craft_easy.core.events.store import EventStore

FOLLOWING: Final = "Following"


def number_of_events(text: str) -> int:
    """Read a whole number of at least 0, in ASCII digits."""
    if not (text.isascii() and text.isdigit()) or int(text) > options.MAX_NUMBER:
        raise ValueError(f'"{text}" is no whole number of at least 0')
    return int(text)


def span(text: str) -> float:
    """Read a duration of more than nothing."""
    if not (found := options.seconds(text)):
        raise ValueError(f'"{text}" is no time to wait. Try 30s or 5m')
    return found


@dataclass(frozen=True, slots=True)
class Following:
    """What is shown to begin with, and whether more is waited for."""

    last: Annotated[
        int | None,
        typer.Option(
            "-n",
            "--last",
            metavar="N",
            parser=number_of_events,
            help="begin with the last N events, 10 unless --since is given; 0 for none",
            rich_help_panel=FOLLOWING,
        ),
    ] = None
    follow: Annotated[
        bool,
        typer.Option("--follow/--no-follow", help="go on with what is stored from now on", rich_help_panel=FOLLOWING),
    ] = True
    outcomes: Annotated[
        bool,
        typer.Option("--outcomes", help="also deliveries of these events, as they end", rich_help_panel=FOLLOWING),
    ] = False
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--checkpoint",
            metavar="FILE",
            help="note here how far it came, and go on from there; then -n and --since are of no account",
            rich_help_panel=FOLLOWING,
        ),
    ] = None
    wait_max: Annotated[
        float | None,
        typer.Option(
            "--wait-max",
            metavar="TIME",
            parser=span,
            help="end, with exit code 0, when nothing came for so long: 30s, 5m",
            rich_help_panel=FOLLOWING,
        ),
    ] = None

    def __post_init__(self) -> None:
        """Refuse what only a tail that follows can do."""
        given = (("--outcomes", self.outcomes), ("--checkpoint", self.checkpoint), ("--wait-max", self.wait_max))
        for option, value in given:
            if value and not self.follow:
                raise UsageError(f"{option}: --no-follow ends before there is anything to wait for")

    @property
    def is_resumed(self) -> bool:
        """Tell whether the checkpoint says where to go on."""
        try:
            return self.checkpoint is not None and self.checkpoint.stat().st_size > 0
        except (OSError, ValueError):
            return False


def tail(
    where: options.Selecting,
    shaping: Shaping,
    following: Following,
    connection: options.Connecting,
    output: options.Format = None,
) -> ExitCode:
    """Follow the log live: the last events, then each new one as it is stored.

    Examples:
        craft-events tail --tenant acme --outcomes
        craft-events tail -n 0 --type 'order.*' --grep o_99 | jq .payload
        craft-events tail --template '{timestamp} {tenant_id:<12} {payload.order_id}'
        craft-events tail --checkpoint orders.checkpoint -o ndjson >> orders.ndjson
    """
    _refuse_end(where)
    shaping.check(output)
    chosen = shaping.chosen(output, endless=following.follow)
    if following.outcomes and (shaping.template is not None or chosen is Output.CSV):
        with_what = "--template" if shaping.template is not None else "-o csv"
        raise UsageError(f"{with_what} has a form for events alone: use -o ndjson or -o table with --outcomes")
    return running.run(_tail(connection.settings(), where, shaping, following, chosen))


def _refuse_end(where: options.Selecting) -> None:
    for option, value in (("--until", where.until), ("--reverse", where.reverse)):
        if value:
            raise UsageError(f"{option}: tail follows what is to come", hint="craft-events replay prints what has been")


async def _tail(
    settings: "Settings", where: options.Selecting, shaping: Shaping, following: Following, chosen: Output
) -> ExitCode:
    from craft_easy.core.events.store.change_stream import LogDropped

    out = _Out(shaping, chosen)
    if following.is_resumed:
        where = replace(where, since=None)
    async with options.opened(settings) as store:
        selection = replace(where.selection(await store.now()), except_types=tuple(shaping.exclude_type))
        try:
            with reader.while_read():
                async with aclosing(_blocks(store, selection, shaping, following)) as blocks:
                    await out.write(blocks)
        except LogDropped as ending:
            terminal.note(str(ending))
            if following.checkpoint is not None:
                terminal.note(f"to follow another log, remove {following.checkpoint}")
    terminal.note(out.summary)
    return ExitCode.DONE


def _blocks(
    store: "EventStore", selection: "Selection", shaping: Shaping, following: Following
) -> "AsyncGenerator[Block, None]":
    from craft_easy.core.events.history import tail
    from craft_events_cli.render.feed import Notes

    last = tail.LAST if following.last is None else following.last
    observer = Notes(f"{store.database_name}.{store.name}")
    if not following.follow:
        return tail.recall(store, selection, last=last, only=shaping.only, observer=observer)
    checkpoint = None
    if following.checkpoint is not None:
        others = {**shaping.filters, "outcomes": following.outcomes}
        checkpoint = tail.checkpoint(following.checkpoint, store, selection, **others)
    return tail.follow(
        store,
        selection,
        last=last,
        only=shaping.only,
        outcomes=following.outcomes,
        wait_max=following.wait_max,
        checkpoint=checkpoint,
        observer=observer,
    )


class _Out:
    """Writes events and outcomes as they come, and counts them."""

    def __init__(self, shaping: Shaping, chosen: Output) -> None:
        from craft_events_cli.render.outcome import outcome_writer

        self._events = shaping.writer(chosen, is_live=True)
        self._outcomes = outcome_writer(chosen)
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
        from craft_events_cli.render.redispatch import counted

        parts = [counted(self._written, "event")]
        if self._ended:
            parts.append(f"{counted(self._ended, 'delivery', 'deliveries')} ended")
        return " · ".join(parts)
