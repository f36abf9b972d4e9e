"""`craft-events serve DIR`: the embedded event log in the foreground."""

import time
from pathlib import Path
from typing import Annotated, Final

import typer

from craft_easy.core.events import embedded
from craft_easy.core.events.errors import EmbeddedLogError
from craft_events_cli import terminal, values
from craft_events_cli.expanding import expanded
from craft_events_cli.output import next_step

app = typer.Typer(add_completion=False)

LOOK_SECONDS: Final = 0.2


@app.command()
@expanded
def serve(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", file_okay=False, help="keep the log here, in a new or empty directory")
    ],
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            metavar="N",
            parser=values.reads(values.port_number),
            help="listen on this port; default: the last one, or a free one",
        ),
    ] = None,
) -> None:
    """Run the embedded event log until Ctrl-C, and print its address.

    Examples:
        craft-events serve ./events
        craft-events serve ./events --port 27017
        craft-events tail --uri embedded:./events

    It listens on 127.0.0.1 only, without a password. Commands with --uri embedded:DIR use the same log; the last to
    leave stops it.
    """
    log = embedded.join(directory, port=port)
    terminal.serving()
    try:
        _introduce(log)
        while log.is_running():
            time.sleep(LOOK_SECONDS)
    finally:
        _leave(log)
    raise EmbeddedLogError(
        f"the embedded event log in {log.directory} was ended by another process",
        hint=f"acknowledged events are kept: start it again; its last messages are in {log.directory / 'server.log'}",
    )


def _introduce(log: embedded.EmbeddedLog) -> None:
    terminal.stdout().write(f"{terminal.safe(log.uri)}\n")
    terminal.flush()
    terminal.note(f"the embedded event log in {log.directory} runs (process {log.pid}); Ctrl-C stops it")
    terminal.note(f"use it: {next_step.command('tail', '--uri', f'embedded:{log.directory}')}")


def _leave(log: embedded.EmbeddedLog) -> None:
    was_running = log.is_running()
    if log.leave():
        if was_running:
            terminal.note(f"stopped; the events stay in {log.directory}")
    else:
        terminal.note("other processes use it: it runs until the last of them ends")
