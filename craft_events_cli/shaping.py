"""Options that say what is shown of events, for commands that print them as they come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from craft_events_cli import options, terminal
from craft_events_cli.exit_codes import UsageError
from craft_events_cli.matching import Grep, Search, search
from craft_events_cli.render.template import Template, template
from craft_events_cli.terminal import Output

if TYPE_CHECKING:
    from craft_events_cli.render.events import Writer

SHOWING: Final = "What is shown"


@dataclass(frozen=True, slots=True)
class Shaping:
    """Which events are left out, and what is shown of the others."""

    exclude_type: Annotated[
        list[str],
        typer.Option(
            "--exclude-type",
            metavar="PATTERN",
            parser=options.pattern,
            help="no events of this type",
            rich_help_panel=options.SELECTING,
        ),
    ] = field(default_factory=list)
    grep: Annotated[
        list[Search],
        typer.Option(
            "--grep",
            metavar="TEXT",
            parser=search,
            help="events that hold this text; /…/ is a regular expression, /…/i one for either case",
            rich_help_panel=options.SELECTING,
        ),
    ] = field(default_factory=list)
    template: Annotated[
        Template | None,
        typer.Option(
            "--template",
            metavar="TEXT",
            parser=template,
            help="a line an event in this form: '{timestamp} {tenant_id:<12} {payload.order.id}'",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None
    no_payload: Annotated[
        bool, typer.Option("--no-payload", help="leave payloads out", rich_help_panel=options.OUTPUT)
    ] = False

    @property
    def only(self) -> Grep | None:
        """The choice that `--grep` makes."""
        return Grep(self.grep) if self.grep else None

    @property
    def filters(self) -> Mapping[str, Any]:
        """What a checkpoint must agree on beside the selection."""
        return {"grep": [one.text for one in self.grep]}

    def check(self, output: Output | None) -> None:
        """Refuse what contradicts itself.

        Raises:
            UsageError: a template beside another format, or one that shows what is left out.
        """
        if self.template is None:
            return
        if output is not None:
            raise UsageError("--template is a form of its own: leave -o out")
        if self.no_payload and any(one.path[0] == "payload" for one in self.template.fields):
            raise UsageError("--template shows a payload, and --no-payload leaves them out")

    def writer(self, output: Output, *, is_live: bool = False) -> Writer:
        """Return what writes events in a format, or in the form of the template."""
        from craft_events_cli.render.events import writer
        from craft_events_cli.render.template import TemplateWriter

        if self.template is not None:
            return TemplateWriter(self.template)
        return writer(output, is_live=is_live, has_payload=not self.no_payload)

    def chosen(self, output: Output | None, *, endless: bool) -> Output:
        """Return the format that is written; a template is lines for people."""
        return Output.TABLE if self.template is not None else terminal.output_format(output, endless=endless)
