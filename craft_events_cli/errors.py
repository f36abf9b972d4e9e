"""The exit codes, and the one error boundary: an error becomes lines on stderr and a code.

An error is one to three lines: the message, then the next step. `--debug` adds the traceback. No line holds a
password.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any, Final

import typer

from craft_events_cli import terminal
from craft_events_cli.data_stream import StdoutClosed, StdoutFailed

MAX_MESSAGE: Final = 1_000


class ExitCode(IntEnum):
    """The number that a run ends with."""

    DONE = 0
    """Done; also if there was nothing to do, and if the reader of a pipe went away."""
    UNEXPECTED = 1
    """An unexpected error."""
    USAGE = 2
    """Wrong usage, a setting that cannot be used, a confirmation that was refused or could not be asked for."""
    UNFINISHED = 3
    """Finished, but in this run something failed, died, has a handler that is not loaded, or was not found."""
    UNREACHABLE = 4
    """The database could not be reached, or refused the login."""
    HANDLER_MODULE = 5
    """A handler module could not be loaded."""
    CHECKPOINT = 6
    """A checkpoint cannot be used."""
    HUNG_UP = 129
    """Ended by SIGHUP: the terminal was closed."""
    INTERRUPTED = 130
    """Ended by SIGINT."""
    TERMINATED = 143
    """Ended by SIGTERM."""


ENDED: Final = (ExitCode.HUNG_UP, ExitCode.INTERRUPTED, ExitCode.TERMINATED)
"""The codes of a run that a signal ended."""


class UsageError(Exception):
    """The command line cannot be understood, or contradicts itself."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class Carried(Exception):
    """Carries its cause past Typer, which would handle it in its own way."""


@contextmanager
def carried() -> Iterator[None]:
    """Let an interrupt, a broken pipe or the end of stdin reach the error boundary: Typer exits 1 or 130 on them."""
    try:
        yield
    except (KeyboardInterrupt, EOFError, OSError) as error:
        raise Carried from error


class Terminated(SystemExit):
    """SIGTERM or SIGHUP was received; derived from SystemExit, so that an event loop lets it through at once."""

    def __init__(self, number: int = signal.SIGTERM) -> None:
        self.exit_code = ExitCode(128 + number)
        super().__init__(int(self.exit_code))


def exit_code_of(error: BaseException) -> ExitCode:
    """Map an exception to the code that the run ends with."""
    if isinstance(error, StdoutClosed):
        return ExitCode.DONE
    if isinstance(error, (UsageError, typer.TyperException)):
        return ExitCode.USAGE
    if isinstance(error, Terminated):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    if isinstance(error, StdoutFailed):
        return ExitCode.UNEXPECTED
    return _code_of_library_error(error)


def _code_of_library_error(error: BaseException) -> ExitCode:
    from craft_easy.core.events import errors

    codes: dict[type[BaseException], ExitCode] = {
        errors.InvalidSetting: ExitCode.USAGE,
        errors.InvalidEvent: ExitCode.USAGE,
        errors.EventConflict: ExitCode.UNFINISHED,
        errors.AmbiguousEventId: ExitCode.UNFINISHED,
        errors.StoreUnavailable: ExitCode.UNREACHABLE,
        errors.StoreLoginRefused: ExitCode.UNREACHABLE,
        errors.EmbeddedLogError: ExitCode.UNREACHABLE,
        errors.HandlerModuleError: ExitCode.HANDLER_MODULE,
        errors.HandlerNotFound: ExitCode.UNFINISHED,
        errors.HandlerNotInLog: ExitCode.UNFINISHED,
        errors.LogNotFound: ExitCode.UNFINISHED,
        errors.CheckpointError: ExitCode.CHECKPOINT,
    }
    return next((code for kind, code in codes.items() if isinstance(error, kind)), ExitCode.UNEXPECTED)


def guarded(action: Callable[[], int | None], *, debug: bool = False) -> int:
    """Run an action and return the code to exit with: the one error boundary of the command line."""
    code = ExitCode.DONE
    try:
        code = ExitCode(action() or ExitCode.DONE)
        terminal.flush()
    except Carried as error:
        return int(report(error.__cause__ or error, debug=debug))
    except StdoutFailed as error:
        failed = report(error, debug=debug)
        return int(code or failed)
    except BaseException as error:  # noqa: BLE001 - the boundary: nothing goes past it
        return int(report(error, debug=debug))
    return int(code)


def report(error: BaseException, *, debug: bool = False) -> ExitCode:
    """Write an error and its next step to stderr; return the code to exit with."""
    if isinstance(error, typer.TyperException):
        error = usage_error(error)
    code = exit_code_of(error)
    if code in ENDED:
        terminal.discard()
    if code in (ExitCode.DONE, *ENDED):
        return code
    if debug:
        _show_traceback(error)
    terminal.error(_cut(_message_of(error)))
    hint = _hint_of(error, debug=debug)
    for line in (hint or "").splitlines():
        terminal.note(_cut(line))
    return code


def usage_error(error: typer.TyperException) -> UsageError:
    """Return a usage error of Typer's as one of ours: its message in our form, and a next step."""
    context = getattr(error, "ctx", None)
    page = f"see {context.command_path if context else 'craft-events'} --help"
    if isinstance(error, typer.BadParameter) and error.param is not None and error.message:
        reason = error.message.removeprefix("Value error, ")
        return UsageError(f"{_label_of(error.param)}: {_as_ours(reason)}", hint=page)
    if close := getattr(error, "possibilities", None):
        return UsageError(f"{_as_ours(error.message)}. Did you mean {close[0]}?", hint=page)
    if hasattr(error, "possibilities") and (command := _first_command(context)):
        page = f"options come after the command, as in: {command} {getattr(error, 'option_name', '')}"
    return UsageError(_as_ours(error.format_message()), hint=page)


def _first_command(context: typer.Context | None) -> str | None:
    """Return the first command of a group, as it is typed; None for a command."""
    if context is None:
        return None
    return next((f"{context.command_path} {name}" for name in getattr(context.command, "commands", ())), None)


def _label_of(parameter: Any) -> str:
    """Return the name of a parameter in an error: its long flag, or an argument's name."""
    return next((flag for flag in parameter.opts if flag.startswith("--")), str(parameter.metavar or parameter.name))


def _as_ours(message: str) -> str:
    """Return a message of Typer's as the first line of an error: one line, no capital, no full stop."""
    line = message.replace("\n\t", " ")
    return (line[:1].lower() + line[1:]).removesuffix(".")


def _message_of(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - an exception whose text cannot be read is still named
        text = ""
    if exit_code_of(error) is not ExitCode.UNEXPECTED or _is_ours(error):
        return text or type(error).__name__
    return f"unexpected {type(error).__qualname__}: {text}" if text else f"unexpected {type(error).__qualname__}"


def _hint_of(error: BaseException, *, debug: bool) -> str | None:
    hint = getattr(error, "hint", None)
    if isinstance(hint, str):
        return hint
    if _is_ours(error) or debug:
        return None
    return "--debug shows where it came from"


def _is_ours(error: BaseException) -> bool:
    from craft_easy.core.events.errors import EventsError

    return isinstance(error, (EventsError, UsageError, StdoutFailed))


def _show_traceback(error: BaseException) -> None:
    import traceback

    for entry in traceback.format_exception(error):
        for line in entry.splitlines():
            terminal.note(line)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 1] + "…"
