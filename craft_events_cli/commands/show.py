"""`craft-events show`: one event, its deliveries, attempts and errors."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from craft_events_cli import event_ids, lifecycle, params, terminal
from craft_events_cli.connection import not_found, opened
from craft_events_cli.errors import ExitCode
from craft_events_cli.expanding import expanded
from craft_events_cli.output import next_step
from craft_events_cli.terminal import Output

if TYPE_CHECKING:
    from craft_easy.core.events.settings import Settings


app = typer.Typer(add_completion=False)


@app.command()
@expanded
def show(
    event_id: Annotated[str, typer.Argument(metavar="EVENT_ID", help="choose the event: its id, or how it begins")],
    connection: params.Connecting,
    traceback: Annotated[  # noqa: FBT002 - as Typer reads it
        bool, typer.Option("--traceback", help="show the stored frames of each error")
    ] = False,
    output: params.Format = None,
) -> ExitCode:
    """Show one event: its payload, its deliveries, and every stored error.

    Examples:
        craft-events show 019abf3e-77d1-7000-8000-000000000057
        craft-events show 019abf3e-77d1-7000-8000-000000000057 --traceback
        craft-events show 019abf3e-77d1-7000-8000-000000000057 -o json | jq .payload

    It changes nothing and needs no handler module.
    """
    settings = connection.settings()
    chosen = terminal.output_format(output)
    return lifecycle.run(_show(settings, event_id, chosen, traceback=traceback))


async def _show(settings: "Settings", event_id: str, chosen: Output, *, traceback: bool) -> ExitCode:
    from craft_easy.core.events.history.reading import record_of
    from craft_easy.core.events.store.formats import event_json

    async with opened(settings) as store:
        record = await record_of(store, event_id)
        if record is None and (whole := await event_ids.completed(store, event_id)) is not None:
            record = await record_of(store, whole)
    if record is None:
        return not_found(event_id, settings)
    event = event_json.event_json(record)
    if chosen is Output.TABLE:
        from craft_events_cli.output.show import write_event

        write_event(event, traceback=traceback)
    else:
        _write(record, chosen)
    terminal.flush()
    if chosen is Output.TABLE:
        for step in next_steps(event):
            terminal.note(step)
    return ExitCode.DONE


def _write(record: Any, chosen: Output) -> None:
    from craft_easy.core.events.store.formats import event_json
    from craft_events_cli.output.events import writer

    if chosen is Output.JSON:  # one event is one object
        terminal.stdout().write(event_json.line(record) + "\n")
        return
    out = writer(chosen)
    out.begin()
    out.write([record])
    out.close()


def next_steps(event: dict[str, Any]) -> Iterator[str]:
    """Yield the commands that an operator may type next, a line each."""
    handlers = (event["delivery"] or {"handlers": []})["handlers"]
    states = {handler["state"] for handler in handlers}
    event_id = event["event_id"]
    if "dead" in states:
        again, given_up = (next_step.command("dead", one, event_id) for one in ("retry", "discard"))
        yield f"again: {again}"
        yield f"given up: {given_up} --reason TEXT"
    elif "pending" in states:
        yield f"delivered by: {next_step.loading('redispatch')}"
    if handlers or event["causation_id"] is not None:
        yield f"what it caused: {next_step.command('trace', event_id)}"
