"""Run the console so that every way to end it leaves the terminal as it was."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from craft_events_cli.errors import ExitCode

if TYPE_CHECKING:
    from craft_events_cli.top.app import TopApp


async def run_until_cancelled(app: TopApp) -> int:
    """Run the console and return the exit code; a cancellation, as by a signal, first closes it."""
    running = asyncio.create_task(app.run_async())
    try:
        code = await asyncio.shield(running)
    except asyncio.CancelledError:
        app.exit(ExitCode.INTERRUPTED)
        await running
        raise
    if app.return_code:
        return ExitCode.UNEXPECTED
    return ExitCode.DONE if code is None else code
