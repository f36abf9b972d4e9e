"""`craft-events demo`: a shop, a process that is killed, and a repair, on an embedded log of its own."""

from pathlib import Path
from typing import Annotated, Final

import typer

from craft_events_cli import terminal
from craft_events_cli.errors import ExitCode

PAUSE_SECONDS: Final = 1.0


def demo(
    directory: Annotated[
        Path | None,
        typer.Option("--dir", metavar="DIR", help="put the log here and keep it; a directory that is new or empty"),
    ] = None,
) -> ExitCode:
    """Watch a shop publish events, see its process killed, and what was left undone delivered.

    It runs on an embedded log of its own, in half a minute, and leaves nothing behind. The exit code is 0 if the last
    count found that nothing is missing, and else 3.

    Examples:
        craft-events demo
        craft-events demo --dir ./demo
    """
    from craft_events_cli.demo.story import tell

    pause = PAUSE_SECONDS if terminal.is_terminal(terminal.stdout()) else 0.0
    return ExitCode.DONE if tell(directory, pause=pause) else ExitCode.UNFINISHED
