"""`craft-events config show`: the value of every setting, and where it came from."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import typer

from craft_events_cli import params, terminal
from craft_events_cli.connection import current_directory
from craft_events_cli.errors import ExitCode
from craft_events_cli.expanding import expanded
from craft_events_cli.output import next_step
from craft_events_cli.output.config import Setting, write_settings
from craft_events_cli.output.rows import write_rows
from craft_events_cli.terminal import Output

if TYPE_CHECKING:
    from craft_easy.core.events.settings import Environment, Modules, Settings, Value

app = typer.Typer(add_completion=False)

COLUMNS: Final = ("setting", "value", "origin")


@app.callback()
@expanded
def config() -> None:
    """Show every setting and where it came from.

    Examples:
      craft-events config show
      craft-events config show --env prod
    """


@app.command()
@expanded
def show(connection: params.Connecting, handling: params.Handling, output: params.Format = None) -> ExitCode:
    """Show the value of every setting, and where it came from.

    Examples:
        craft-events config show
        craft-events config show --env prod
        craft-events config show -o json | jq -r '.[] | select(.setting == "uri").origin'

    The origin is a flag, a variable, a file or the default. Passwords are masked. It connects to nothing.
    """
    chosen = terminal.output_format(output)
    settings, modules = connection.settings(), handling.modules(connection.env)
    rows = settings_shown(settings, modules, connection.zone())
    if chosen is Output.TABLE:
        write_settings(rows)
    else:
        write_rows(map(asdict, rows), COLUMNS, chosen)
    terminal.flush()
    terminal.note(_summary(settings))
    return ExitCode.DONE


def settings_shown(settings: "Settings", modules: "Modules", zone: "Value[str]") -> list[Setting]:
    """Return a row for each setting; without an environment `env` is null."""
    environment = settings.environment
    return [
        *_environment(environment),
        _shown("uri", settings.uri),
        _shown("database", settings.database),
        _shown("collection", settings.collection),
        Setting("handlers", list(modules.handlers.value), modules.handlers.origin),
        _shown("app-dir", modules.app_dir),
        _shown("time-zone", zone),
    ]


def _environment(environment: "Environment | None") -> list[Setting]:
    if environment is None:
        return [Setting("env", None, "the default")]
    protected = Setting("protected", environment.is_protected, environment.defined_in)
    return [Setting("env", environment.name, environment.origin), protected]


def _shown(name: str, value: "Value[str]") -> Setting:
    from craft_easy.core.events.settings import redact

    return Setting(name, redact(value.value), redact(value.origin))


def _summary(settings: "Settings") -> str:
    from craft_easy.core.events.settings import environments

    found = environments(current_directory())
    if not found:
        return "no environments · a pyproject.toml names them: [tool.craft-events.env.prod]"
    names = f"environments: {', '.join(map(_named, found))}"
    if settings.environment is not None:
        return names
    return f"{names} · one of them: {next_step.command('config', 'show', '--env', found[0].name)}"


def _named(environment: "Environment") -> str:
    return f"{environment.name} (protected)" if environment.is_protected else environment.name
