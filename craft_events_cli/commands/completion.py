"""`craft-events completion`: the completions of a shell."""

from enum import StrEnum
from typing import Annotated

import typer

from craft_events_cli import terminal
from craft_events_cli.errors import ExitCode
from craft_events_cli.expanding import expanded

app = typer.Typer(add_completion=False)


class Shell(StrEnum):
    """A shell that there are completions for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@app.command()
@expanded
def completion(
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="choose the shell; bash is 3.2 or newer")],
) -> ExitCode:
    """Print the completions of a shell.

    Examples:
        craft-events completion bash > ~/.local/share/bash-completion/completions/craft-events
        craft-events completion zsh > ~/.zfunc/_craft-events
        craft-events completion fish > ~/.config/fish/completions/craft-events.fish

    zsh needs ~/.zfunc in its fpath before compinit runs.
    """
    from craft_events_cli.completion import script

    terminal.stdout().write(script(shell.value))
    return ExitCode.DONE
