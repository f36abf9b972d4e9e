"""What is said where an event that was asked for is not in the log."""

from __future__ import annotations

from craft_easy.core.events.settings import Settings
from craft_events_cli import terminal
from craft_events_cli.errors import ExitCode


def not_found(event_id: str, settings: Settings) -> ExitCode:
    """Say on stderr that there is no such event, and return the code to exit with."""
    terminal.error(f"there is no event {event_id} in {settings.collection.value}")
    terminal.note("is it another database or collection? --database and --collection name them")
    return ExitCode.UNFINISHED
