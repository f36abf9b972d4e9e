"""`craft-events publish`: one event from the shell, or lines of Event JSON."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from craft_easy.core.events.model.times import Moment, parse_moment
from craft_events_cli import acting, lifecycle, loading, params, terminal, values
from craft_events_cli.errors import ExitCode, UsageError
from craft_events_cli.expanding import expanded

app = typer.Typer(add_completion=False)

THE_EVENT: Final = "The event"
MAX_DATA: Final = 100 * 1024 * 1024


def not_empty(text: str) -> str:
    """Check a text: an empty one is most often a variable of the shell that is not set."""
    if not text:
        raise ValueError("is empty; leave the option out instead")
    return text


@dataclass(frozen=True, slots=True)
class Stating:
    """The fields of the event."""

    type: Annotated[
        str | None,
        typer.Option(
            "--type",
            metavar="TYPE",
            parser=values.reads(not_empty),
            help="set the type, such as order.placed",
            rich_help_panel=THE_EVENT,
        ),
    ] = None
    tenant: Annotated[
        str | None,
        typer.Option(
            "--tenant", metavar="T", parser=values.reads(not_empty), help="set the tenant", rich_help_panel=THE_EVENT
        ),
    ] = None
    actor: Annotated[
        str | None,
        typer.Option(
            "--actor", metavar="A", parser=values.reads(not_empty), help="set the actor", rich_help_panel=THE_EVENT
        ),
    ] = None
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="JSON",
            help="set the payload, an object; @FILE or - reads it",
            rich_help_panel=THE_EVENT,
        ),
    ] = None
    id: Annotated[
        str | None,
        typer.Option(
            "--id",
            metavar="ID",
            parser=values.reads(not_empty),
            help="set the id, to make the command repeatable",
            rich_help_panel=THE_EVENT,
        ),
    ] = None
    timestamp: Annotated[
        Moment | None,
        typer.Option(
            "--timestamp",
            metavar="TIME",
            parser=values.reads(parse_moment),
            help="set when it happened: 2h, 2026-01-31T10:00Z",
            rich_help_panel=THE_EVENT,
        ),
    ] = None

    @property
    def given(self) -> list[str]:
        """The options for one event that were given."""
        named = ("type", "tenant", "actor", "data", "id", "timestamp")
        return [f"--{name}" for name in named if getattr(self, name) is not None]

    def line(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return the event as a line of Event JSON has it."""
        return {
            "event_id": self.id,
            "event_type": self.type,
            "tenant_id": self.tenant,
            "actor_id": self.actor,
            "payload": payload,
        }


@dataclass(frozen=True, slots=True)
class Lines:
    """Many events."""

    source: Annotated[
        Path | None,
        typer.Argument(metavar="FILE|-", help="read lines of Event JSON from this file; - is stdin"),
    ] = None
    rejects: Annotated[
        Path | None,
        typer.Option("--rejects", metavar="FILE", help="write rejected lines here: {line, error, text}"),
    ] = None


@app.command()
@expanded
def publish(
    lines: Lines,
    event: Stating,
    connection: params.Acting,
    handling: params.Handling,
    *,
    dispatch: Annotated[
        bool,
        typer.Option("--dispatch", help="run the handlers now, in this process", rich_help_panel=params.HANDLERS),
    ] = False,
    output: params.Format = None,
) -> ExitCode:
    """Publish one event, or each line of Event JSON, and print its id.

    Examples:
        craft-events publish --type order.placed --tenant acme --data '{"order_id": "o_1"}' -m shop.handlers
        craft-events publish --type order.placed --data @order.json -m shop.handlers --dispatch
        jq -c '{event_type: "user.seen", payload: .}' seen.json | craft-events publish - --rejects rejects.ndjson

    With a handler module the event is stored open for the handlers of its type, and a redispatch runs them;
    --dispatch runs them at once. Without a module it is stored untracked, and no handler runs.

    A line may leave out event_id, timestamp, tenant_id, actor_id and payload. An invalid line is reported with its
    number, the others continue, and the run ends with exit 3. An id that is stored with the same content changes
    nothing.
    """
    from craft_events_cli.actions import publish as action

    _refuse_contradictions(lines, event)
    chosen = terminal.output_format(output)
    modules = handling.modules(connection.env)
    settings = acting.confirmed(connection)
    bus = loading.load_bus(modules) if dispatch or modules.handlers.value else None
    if lines.source is not None:
        source = str(lines.source)
        return lifecycle.run(
            action.publish_source(settings, bus, chosen, source, rejects=lines.rejects, dispatch=dispatch)
        )
    line = event.line(action.payload_of("{}" if event.data is None else _text_of(event.data)))
    return lifecycle.run(action.publish_typed(settings, bus, chosen, line, event.timestamp, dispatch=dispatch))


def _refuse_contradictions(lines: Lines, event: Stating) -> None:
    if lines.source is not None and event.given:
        raise UsageError(f"{event.given[0]} is for one event, and each line has its own", hint="leave one of them out")
    if lines.source is None and event.type is None:
        raise UsageError("--type is missing", hint="craft-events publish --type order.placed, or - for lines on stdin")
    if lines.source is None and lines.rejects is not None:
        raise UsageError("--rejects is for lines, and this is one event", hint="leave it out")
    if lines.source is not None:
        from craft_easy.core.events.operations import intake

        intake.check(str(lines.source))


def _text_of(data: str) -> str:
    if data != "-" and not data.startswith("@"):
        return data
    try:
        if data == "-":
            content = terminal.stdin().read(MAX_DATA)
        else:
            with open(data[1:], "rb") as file:
                content = file.read(MAX_DATA)
        return content.decode("utf-8-sig")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"--data: {data[1:]} cannot be read: {reason}", hint="@FILE names a file of JSON") from None
    except UnicodeDecodeError:
        raise UsageError("--data: the text is not UTF-8") from None
