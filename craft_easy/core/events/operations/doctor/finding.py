"""The result of a check: its level, a message, and advice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Self

MAX_NAME: Final = 200
"""The maximum length of a name in a list."""
Level = Literal["OK", "WARN", "FAIL"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of an examination.

    Args:
        check: the name of the check.
        level: OK; WARN, works but needs a look; FAIL, events are not delivered or may be lost.
        message: the result, in one sentence.
        advice: the next step, a command where there is one.
        details: the figures, for programs.
    """

    check: str
    level: Level
    message: str
    advice: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def ok(cls, check: str, message: str, **details: Any) -> Self:
        """Return a finding of a check that passed."""
        return cls(check, "OK", message, None, details)

    @classmethod
    def warn(cls, check: str, message: str, advice: str | None = None, **details: Any) -> Self:
        """Return a finding that needs a look."""
        return cls(check, "WARN", message, advice, details)

    @classmethod
    def fail(cls, check: str, message: str, advice: str | None = None, **details: Any) -> Self:
        """Return a finding of events that are not delivered or may be lost."""
        return cls(check, "FAIL", message, advice, details)


def counted(number: int, singular: str, plural: str = "") -> str:
    """Return a number with its noun, in the singular or the plural."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def named(names: list[str] | tuple[str, ...], most: int = 5) -> str:
    """Return the first names of a list, and the number of the others."""
    shown = ", ".join(name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}…" for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"
