"""Before and while a command acts: questions on a terminal, whose default is no, and the name of the operator."""

from __future__ import annotations

import sys
from contextlib import suppress
from getpass import getuser
from socket import gethostname
from typing import TYPE_CHECKING

from craft_events_cli import terminal
from craft_events_cli.errors import UsageError

if TYPE_CHECKING:
    from craft_easy.core.events.settings import Settings


def check(*, yes: bool) -> None:
    """Refuse, before anything is done, what would have to be asked where nobody can answer.

    Raises:
        UsageError: there is no terminal, and `--yes` was not given.
    """
    if not yes and not _is_anybody_there():
        raise UsageError(
            "this asks before it acts, and there is no terminal to ask on",
            hint="--yes goes on without asking; --dry-run says what would be done",
        )


def confirm_environment(settings: Settings, *, named: str | None, is_dry: bool = False) -> None:
    """Have the name of a protected environment typed before anything acts on it; `--yes` is no answer to this.

    Args:
        settings: where the event log is.
        named: the value of `--confirm-env`, which answers beforehand.
        is_dry: nothing will be written, so nothing is asked.

    Raises:
        UsageError: another name was given, or there is no terminal to ask on.
    """
    environment = settings.environment
    if named is not None and (environment is None or named != environment.name):
        where = f"this is {environment.name}" if environment else "no environment is chosen"
        raise UsageError(f'--confirm-env: "{named}" is not where this acts: {where}', hint="--env chooses one")
    if environment is None or not environment.is_protected or named is not None or is_dry:
        return
    if not _is_anybody_there():
        raise UsageError(
            f"{environment.name} is protected, and there is no terminal to have its name typed on",
            hint=f"--confirm-env {environment.name} says that it is meant; --yes does not",
        )
    where = f"{settings.database.value}.{settings.collection.value} at {settings.uri.value}"
    terminal.note(f"{environment.name} is protected, and this acts on {where}")
    if _typed("type its name to go on: ") != environment.name:
        raise UsageError(f"that was not {environment.name}: nothing was done")


def _typed(question: str) -> str:
    _write(question)
    answer = ""
    try:
        answer = _answer()
    finally:
        if not answer.endswith("\n"):
            terminal.note("")
    return answer.strip()


def _is_anybody_there() -> bool:
    return terminal.is_terminal(sys.stdin) and terminal.is_terminal(sys.stderr)


def _write(question: str) -> None:
    with suppress(OSError, ValueError):
        sys.stderr.write(terminal.safe(question))
        sys.stderr.flush()


def _answer() -> str:
    """Read a line; one that is not UTF-8 answers nothing."""
    try:
        return sys.stdin.readline()
    except UnicodeDecodeError:
        return ""


async def agreed(question: str) -> bool:
    """Ask on stderr and return whether the answer was yes; a signal ends the wait.

    Args:
        question: one line, with the number that is about to be touched.
    """
    _write(f"{question} Go on? [y/N] ")
    try:
        answer = await _line()
    except BaseException:
        terminal.note("")
        raise
    return answer.strip().lower() in ("y", "yes")


async def typed(question: str, word: str) -> bool:
    """Ask on stderr for a word to be typed, where a yes comes too easily, and return whether it was.

    Args:
        question: one line, with the number that is about to be touched.
        word: what is to be typed, such as a tenant's name.
    """
    _write(f"{question} Type {word} to go on: ")
    try:
        answer = await _line()
    except BaseException:
        terminal.note("")
        raise
    return answer.removesuffix("\n") == word


async def _line() -> str:
    import asyncio  # here, since no help page needs it

    loop = asyncio.get_running_loop()
    is_there = asyncio.Event()
    loop.add_reader(sys.stdin, is_there.set)
    try:
        await is_there.wait()
    finally:
        loop.remove_reader(sys.stdin)
    return _answer()


def operator() -> str:
    """Return user and host."""
    try:
        user = getuser()
    except (OSError, KeyError):  # a container without a user of that number
        user = "operator"
    return f"{user}@{gethostname()}"
