"""Questions before what an operator may regret: on a terminal alone, and no is the default."""

from __future__ import annotations

import sys
from contextlib import suppress

from craft_events_cli import terminal
from craft_events_cli.exit_codes import UsageError


def check(*, yes: bool) -> None:
    """Refuse, before anything is done, what would have to be asked where nobody can answer.

    Raises:
        UsageError: there is no terminal, and `--yes` was not given.
    """
    if not yes and not (terminal.is_terminal(sys.stdin) and terminal.is_terminal(sys.stderr)):
        raise UsageError(
            "this asks before it acts, and there is no terminal to ask on",
            hint="--yes goes on without asking; --dry-run says what would be done",
        )


async def agreed(question: str) -> bool:
    """Ask on stderr and return whether the answer was yes; a signal ends the wait.

    Args:
        question: one line, with the number that is about to be touched.
    """
    with suppress(OSError, ValueError):
        sys.stderr.write(terminal.safe(f"{question} Go on? [y/N] "))
        sys.stderr.flush()
    try:
        answer = await _line()
    except BaseException:
        terminal.note("")
        raise
    return answer.strip().lower() in ("y", "yes")


async def _line() -> str:
    import asyncio  # here, since no help page needs it

    loop = asyncio.get_running_loop()
    is_there = asyncio.Event()
    loop.add_reader(sys.stdin, is_there.set)
    try:
        await is_there.wait()
    finally:
        loop.remove_reader(sys.stdin)
    return sys.stdin.readline()
