"""`craft-events publish`: one event from the shell, or lines of Event JSON."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from craft_easy.core.events.model.selection import Moment, parse_moment
from craft_events_cli import acting, lifecycle, loading, params, terminal
from craft_events_cli.connection import IfMissing, opened
from craft_events_cli.errors import ExitCode, UsageError
from craft_events_cli.terminal import Output

if TYPE_CHECKING:
    from craft_easy.core.events.bus import EventBus
    from craft_easy.core.events.operations.publish import PublishSummary
    from craft_easy.core.events.settings import Settings
    from craft_easy.core.events.store import EventStore
    from craft_events_cli.output.publish import PublishView

app = typer.Typer(add_completion=False)

THE_EVENT: Final = "The event"
MAX_DATA: Final = 100 * 1024 * 1024


def not_empty(text: str) -> str:
    """Check a text: an empty one is most often a variable of the shell that is not set."""
    if not text:
        raise ValueError("is empty; leave the option out where there is none")
    return text


@dataclass(frozen=True, slots=True)
class Stating:
    """What the event says."""

    type: Annotated[
        str | None,
        typer.Option(
            "--type",
            metavar="TYPE",
            parser=params.reads(not_empty),
            help="set the type, such as order.placed",
            rich_help_panel=THE_EVENT,
        ),
    ] = None
    tenant: Annotated[
        str | None,
        typer.Option(
            "--tenant", metavar="T", parser=params.reads(not_empty), help="set the tenant", rich_help_panel=THE_EVENT
        ),
    ] = None
    actor: Annotated[
        str | None,
        typer.Option(
            "--actor", metavar="A", parser=params.reads(not_empty), help="set the actor", rich_help_panel=THE_EVENT
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
            parser=params.reads(not_empty),
            help="set the id, to make the command repeatable",
            rich_help_panel=THE_EVENT,
        ),
    ] = None
    timestamp: Annotated[
        Moment | None,
        typer.Option(
            "--timestamp",
            metavar="TIME",
            parser=params.reads(parse_moment),
            help="set when it happened: 2h ago, 2026-01-31T10:00Z",
            rich_help_panel=THE_EVENT,
        ),
    ] = None

    @property
    def given(self) -> list[str]:
        """The options that say something of one event."""
        named = ("type", "tenant", "actor", "data", "id", "timestamp")
        return [f"--{name}" for name in named if getattr(self, name) is not None]


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
@params.expanded
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
    _refuse_what_does_not_fit(lines, event)
    chosen = terminal.output_format(output)
    modules = handling.modules(connection.env)
    settings = acting.confirmed(connection)
    bus = loading.load_bus(modules) if dispatch or modules.handlers.value else None
    payload = None if lines.source is not None else _payload(event.data)
    publisher = _Publisher(bus, chosen, is_dispatching=dispatch)
    return lifecycle.run(publisher.run(settings, lines, event, payload))


def _refuse_what_does_not_fit(lines: Lines, event: Stating) -> None:
    if lines.source is not None and event.given:
        raise UsageError(f"{event.given[0]} is for one event, and each line says its own", hint="leave one of them out")
    if lines.source is None and event.type is None:
        raise UsageError("--type is missing", hint="craft-events publish --type order.placed, or - for lines on stdin")
    if lines.source is None and lines.rejects is not None:
        raise UsageError("--rejects is for lines, and this is one event", hint="leave it out")
    if lines.source is not None:
        from craft_easy.core.events.operations import intake

        intake.check(str(lines.source))


def _payload(data: str | None) -> dict[str, Any]:
    """Read the payload, strictly, before anything is connected."""
    from craft_easy.core.events.errors import InvalidEvent
    from craft_easy.core.events.store.formats.extended_json import parse

    if data is None:
        return {}
    try:
        payload = parse(_text_of(data))
    except InvalidEvent as error:
        raise UsageError(f"--data: {error}", hint="""as in --data '{"order_id": "o_1"}'""") from None
    if not isinstance(payload, dict):
        raise UsageError("--data: a payload is an object", hint="""as in --data '{"order_id": "o_1"}'""")
    return payload


def _text_of(data: str) -> str:
    import sys

    if data != "-" and not data.startswith("@"):
        return data
    try:
        if data == "-":
            content = sys.stdin.buffer.read(MAX_DATA)
        else:
            with open(data[1:], "rb") as file:
                content = file.read(MAX_DATA)
        return content.decode("utf-8-sig")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"--data: {data[1:]} cannot be read: {reason}", hint="@FILE names a file of JSON") from None
    except UnicodeDecodeError:
        raise UsageError("--data: it is no text in UTF-8") from None


class _Publisher:
    """Publishes what the command line says, and shows it."""

    def __init__(self, bus: "EventBus | None", output: Output, *, is_dispatching: bool) -> None:
        self._bus = bus
        self._output = output
        self._is_dispatching = is_dispatching

    async def run(self, settings: "Settings", lines: Lines, event: Stating, payload: dict[str, Any] | None) -> ExitCode:
        from craft_events_cli.output.importing import Rejects
        from craft_events_cli.output.publish import PublishView

        async with opened(settings, if_missing=IfMissing.BEGIN) as store:
            if self._bus is not None and self._is_dispatching:
                self._bus.configure_store(store)
            rejects = None if lines.rejects is None else Rejects(lines.rejects)
            terminal.acting()
            try:
                with PublishView(self._output, is_one=payload is not None, rejects=rejects) as view:
                    if payload is None:
                        summary = await self._lines(store, str(lines.source), view)
                    else:
                        summary = await self._one(store, event, payload, view)
            finally:
                if rejects is not None:
                    rejects.close()
                if self._bus is not None and self._is_dispatching:
                    await self._bus.aclose()
        view.write_summary(summary, is_dispatched=self._is_dispatching)
        return ExitCode.DONE if summary.is_clean else ExitCode.UNFINISHED

    async def _lines(self, store: "EventStore", source: str, view: "PublishView") -> "PublishSummary":
        from craft_easy.core.events.operations.publish import publish_lines

        return await publish_lines(store, source, bus=self._bus, dispatch=self._is_dispatching, observer=view.observe)

    async def _one(
        self, store: "EventStore", said: Stating, payload: dict[str, Any], view: "PublishView"
    ) -> "PublishSummary":
        from craft_easy.core.events.operations.publish import PublishSummary, UnfitPayload, publish_event, unfit_class
        from craft_easy.core.events.store.formats.incoming import new_event

        at = await store.now()
        line = {
            "event_id": said.id,
            "event_type": said.type,
            "tenant_id": said.tenant,
            "actor_id": said.actor,
            "payload": payload,
        }
        event = new_event(line, at=at if said.timestamp is None else said.timestamp.at(at))
        if (name := unfit_class(event)) is not None:
            view.observe(UnfitPayload(event.event_type, name))
        published = await publish_event(store, event, bus=self._bus, dispatch=self._is_dispatching)
        summary = PublishSummary()
        summary.add(published)
        view.observe(published)
        return summary
