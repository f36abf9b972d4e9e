"""`craft-events demo`: a shop, a process that is killed, and a repair, on an embedded log of its own."""

from pathlib import Path
from typing import Annotated, Final

import typer

from craft_events_cli import terminal
from craft_events_cli.errors import ExitCode
from craft_events_cli.expanding import expanded

app = typer.Typer(add_completion=False)

PAUSE_SECONDS: Final = 1.0


@app.command()
@expanded
def demo(
    directory: Annotated[
        Path | None,
        typer.Option("--dir", metavar="DIR", file_okay=False, help="keep the log here, in a new or empty directory"),
    ] = None,
) -> ExitCode:
    """Watch a shop publish events, a killed process, and the redispatch.

    Examples:
        craft-events demo
        craft-events demo --dir ./demo

    It runs for half a minute on an embedded log of its own, and leaves nothing behind. The exit code is 0 if
    nothing is missing at the end, 3 otherwise.
    """
    from craft_events_cli.demo.story import tell

    pause = PAUSE_SECONDS if terminal.is_terminal(terminal.stdout()) else 0.0
    return ExitCode.DONE if tell(directory, pause=pause) else ExitCode.UNFINISHED
