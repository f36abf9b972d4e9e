"""The command to type next.

It has the flags of this run that lead to the log and to the handlers: pasted, it acts where this run acted. A password
is never repeated: an address that has one is taken from CRAFT_EVENTS_URI, and a shell without that variable gets an
error and not another log.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from shlex import join
from typing import Final

from craft_events_cli import terminal

PROGRAM: Final = "craft-events"
MODULE: Final = "MODULE"
"""Stands for the handler modules where nobody has named them."""
_COMMAND: Final = re.compile(rf"{PROGRAM} (?:(?:config|dead|handlers|schema) )?[a-z]+")


@dataclass(frozen=True, slots=True)
class FlagsGiven:
    """The flags that were given, and that the next command needs too.

    Args:
        connection: `--env`, `--uri`, `--database` and `--collection`, those that were given.
        modules: the handler modules that flags named.
        app_dir: where they are looked up, where a flag said so.
    """

    connection: Mapping[str, str] = field(default_factory=dict)
    modules: Sequence[str] = ()
    app_dir: str | None = None

    def to_log(self, words: Sequence[str] = ()) -> list[str]:
        """Return the flags that lead to the log, as a shell reads them, without those that the command has."""
        return [f"{flag} {_quoted(value)}" for flag, value in self.connection.items() if flag not in words]

    def to_handlers(self, guess: Sequence[str] = (MODULE,)) -> list[str]:
        """Return the flags that load the handlers; none where a variable or a file names them."""
        named = self.modules or ([] if self._are_set() else guess)
        flags = [f"-m {join([one])}" for one in named]
        return flags if self.app_dir is None else [*flags, f"--app-dir {join([self.app_dir])}"]

    def _are_set(self) -> bool:
        from craft_easy.core.events.settings import resolve_modules

        return bool(resolve_modules({"env": self.connection.get("--env")}, directory=Path.cwd()).handlers.value)


_NONE: Final = FlagsGiven()
_given: ContextVar[FlagsGiven] = ContextVar("flags_given", default=_NONE)


@contextmanager
def carrying(given: FlagsGiven) -> Iterator[None]:
    """Let what is suggested while the block runs carry these flags; the hint of an error that leaves it too."""
    from craft_easy.core.events.errors import EventsError

    token = _given.set(given)
    try:
        yield
    except EventsError as error:
        error.hint = None if error.hint is None else completed(error.hint)
        raise
    finally:
        _given.reset(token)


def command(*words: str) -> str:
    """Return a command of ours on the same log, as it is to be typed.

    >>> command("show", "019abf3e")
    'craft-events show 019abf3e'
    """
    return " ".join([PROGRAM, join(words), *_given.get().to_log(words)])


def loading(*words: str, guess: Sequence[str] = (MODULE,)) -> str:
    """Return a command that loads handlers; `guess` is their modules where nobody has named any.

    >>> loading("redispatch")
    'craft-events redispatch -m MODULE'
    """
    given = _given.get()
    return " ".join([PROGRAM, join(words), *given.to_handlers(guess), *given.to_log(words)])


def completed(text: str) -> str:
    """Return a text of the library's with the flags in each command that it suggests."""
    given = _given.get()
    if f" -m {MODULE}" in text:
        text = text.replace(f" -m {MODULE}", "".join(f" {flag}" for flag in given.to_handlers()))
    flags = "".join(f" {flag}" for flag in given.to_log())
    return _COMMAND.sub(lambda found: found[0] + flags, text)


def _quoted(value: str) -> str:
    return join([value]) if terminal.redacted(value) == value else '"$CRAFT_EVENTS_URI"'
