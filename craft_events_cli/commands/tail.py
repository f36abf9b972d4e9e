"""`craft-events tail`: follow the log live."""

from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import typer

from craft_events_cli import options, reader, running, terminal
from craft_events_cli.exit_codes import ExitCode, UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from craft_easy.core.events.feed import Block
    from craft_easy.core.events.selection import Selection
    from craft_easy.core.events.settings import Settings
    from craft_easy.core.events.store import EventStore

FOLLOWING: Final = "Following"


def number_of_events(text: str) -> int:
    """Read a whole number of at least 0, in ASCII digits."""
    if not (text.isascii() and text.isdigit()) or int(text) > options.MAX_NUMBER:
        raise ValueError(f'"{text}" is no whole number of at least 0')
    return int(text)


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


def tail(
    where: options.Selecting,
    following: Following,
    connection: options.Connecting,
    output: options.Format = None,
) -> ExitCode:
    """Follow the log live: the last events, then each new one as it is stored.

    Examples:
        craft-events tail --tenant acme
        craft-events tail -n 0 --type 'order.*' | jq .payload
        craft-events tail --since 10m --limit 100
        craft-events tail -n 50 --no-follow
    """
    _refuse_end(where)
    settings = connection.settings()
    chosen = terminal.output_format(output, endless=following.follow)
    return running.run(_tail(settings, where, following, chosen))


def _refuse_end(where: options.Selecting) -> None:
    for option, value in (("--until", where.until), ("--reverse", where.reverse)):
        if value:
            raise UsageError(f"{option}: tail follows what is to come", hint="craft-events replay prints what has been")


async def _tail(
    settings: "Settings", where: options.Selecting, following: Following, chosen: terminal.Output
) -> ExitCode:
    from craft_easy.core.events.store.change_stream import LogDropped
    from craft_events_cli.render.events import writer

    out, shown = writer(chosen, is_live=True), 0
    async with options.opened(settings) as store:
        selection = where.selection(await store.now())
        try:
            with reader.while_read():
                async with aclosing(_blocks(store, selection, following)) as blocks:
                    out.begin()
                    async for block in blocks:
                        out.write(block.records)
                        shown += len(block.records)
                    out.close()
        except LogDropped as ending:
            terminal.note(str(ending))
    terminal.note(f"{shown:,} event{'' if shown == 1 else 's'}" if shown else "no events in this selection")
    return ExitCode.DONE


def _blocks(store: "EventStore", selection: "Selection", following: Following) -> "AsyncGenerator[Block, None]":
    from craft_easy.core.events.feed import LAST, follow, recall
    from craft_events_cli.render.feed import Notes

    last = LAST if following.last is None else following.last
    if not following.follow:
        return recall(store, selection, last=last)
    return follow(store, selection, last=last, observer=Notes(f"{store.database_name}.{store.name}"))
