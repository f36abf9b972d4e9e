"""The one course of every command that asks before it acts.

    check       somebody can answer, or --yes was given
    confirm     the name of a protected environment was typed
    count       the events and deliveries that it would touch
    ask         yes or no, or a word to type where a yes comes too easily; the question names the log
    act         from here on a closed stdout does not end the run
    summarise   the result, and the exit code

`checked` does the first two, before anything is loaded or opened, and `carry_out` the others; an `Action` is what
differs between the commands. `publish`, `redispatch` and `doctor --fix` ask nothing: they are `confirmed`, and act.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import dataclass
from getpass import getuser
from socket import gethostname
from typing import TYPE_CHECKING, Protocol, TypeVar

from craft_events_cli import params, terminal
from craft_events_cli.connection import log_name
from craft_events_cli.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from craft_easy.core.events.settings import Settings

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The question before a command acts.

    Args:
        text: a sentence that states the effect, with the number of events or deliveries.
        word: the word to type where a yes comes too easily, such as a tenant's name; None asks for y or yes.
        notes: lines to read before the question.
    """

    text: str
    word: str | None = None
    notes: tuple[str, ...] = ()


class Action(Protocol[Found]):
    """The part of the course that differs from command to command; it has its options, its log and its output."""

    async def dry_run(self) -> ExitCode:
        """Report what the command would do, and write nothing."""

    async def count(self) -> Found:
        """Count what the command would touch."""

    def question(self, found: Found) -> Confirmation | None:
        """Return the question; None if nothing was found to act on."""

    async def act(self, agreed: Found | None) -> ExitCode:
        """Act, and report the result; `agreed` is what was counted, None with `--yes`, which counts nothing."""


def checked(connection: params.Acting, asking: params.Asking) -> Settings:
    """Return the settings of the log, once somebody can answer and the environment is confirmed.

    Raises:
        UsageError: there is no terminal to ask on, or the environment was not confirmed.
    """
    if not (asking.yes or asking.dry_run):
        _require_terminal()
    return confirmed(connection, is_dry=asking.dry_run)


def confirmed(connection: params.Acting, *, is_dry: bool = False) -> Settings:
    """Return the settings of the log; the name of a protected environment is typed first, unless nothing is written.

    `--yes` does not answer this, `--confirm-env` does.

    Raises:
        UsageError: another name was given, or there is no terminal to ask on.
    """
    settings, named = connection.settings(), connection.confirm_env
    environment = settings.environment
    if named is not None and (environment is None or named != environment.name):
        where = f"this is {environment.name}" if environment else "no environment is chosen"
        raise UsageError(f'--confirm-env: "{named}" is not the environment: {where}', hint="--env chooses one")
    if environment is not None and environment.is_protected and named is None and not is_dry:
        _confirm(environment.name, settings)
    return settings


async def carry_out(action: Action[Found], asking: params.Asking, settings: Settings) -> ExitCode:
    """Count, ask, act and summarise; with `--yes` act at once, with `--dry-run` not at all."""
    if asking.dry_run:
        return await action.dry_run()
    found = None
    if not asking.yes:
        found = await action.count()
        question = action.question(found)
        if question is not None and not await ask(question, log_name(settings)):
            terminal.note("nothing was done")
            return ExitCode.USAGE
    terminal.acting()
    return await action.act(found)


def _require_terminal() -> None:
    if not is_anybody_there():
        raise UsageError(
            "this command asks before it acts, and there is no terminal to ask on",
            hint="--yes acts without asking; --dry-run reports what would be done",
        )


def _confirm(name: str, settings: Settings) -> None:
    if not is_anybody_there():
        raise UsageError(
            f"{name} is protected, and there is no terminal to type its name on",
            hint=f"--confirm-env {name} confirms it; --yes does not",
        )
    terminal.note(f"{name} is protected, and this command acts on {log_name(settings)}")
    if _typed("Type its name to go on: ") != name:
        raise UsageError(f"that was not {name}: nothing was done")


def _typed(question: str) -> str:
    _write(question)
    answer = ""
    try:
        answer = _answer()
    finally:
        if not answer.endswith("\n"):
            terminal.note("")
    return answer.strip()


async def ask(question: Confirmation, log: str) -> bool:
    """Ask on stderr and return whether the answer was yes, or the word; a signal ends the wait."""
    for line in question.notes:
        terminal.note(line)
    wanted = "Go on? [y/N]" if question.word is None else f"Type {question.word} to go on:"
    _write(f"{log}: {question.text} {wanted} ")
    try:
        answer = await _line()
    except BaseException:
        terminal.note("")
        raise
    if question.word is None:
        return answer.strip().lower() in ("y", "yes")
    return answer.removesuffix("\n") == question.word


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


def _answer() -> str:
    """Read a line; one that is not UTF-8 answers nothing."""
    try:
        return sys.stdin.readline()
    except UnicodeDecodeError:
        return ""


def is_anybody_there() -> bool:
    """Return whether a person can be asked and can answer."""
    return terminal.is_terminal(sys.stdin) and terminal.is_terminal(sys.stderr)


def _write(question: str) -> None:
    with suppress(OSError, ValueError):
        sys.stderr.write(terminal.safe(question))
        sys.stderr.flush()


def operator() -> str:
    """Return user and host."""
    try:
        user = getuser()
    except (OSError, KeyError):  # a container without a user of that number
        user = "operator"
    return f"{user}@{gethostname()}"
