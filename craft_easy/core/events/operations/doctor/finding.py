"""What a check finds: how bad it is, what it is, and what to do about it."""

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
        check: what was looked at.
        level: OK; WARN, it works and should be looked at; FAIL, something is not delivered, or is lost.
        message: what was found, in one sentence.
        advice: what to do, a command where there is one.
        details: the figures, for programs.
    """

    check: str
    level: Level
    message: str
    advice: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def ok(cls, check: str, message: str, **details: Any) -> Self:
        """Return a finding that is as it should be."""
        return cls(check, "OK", message, None, details)

    @classmethod
    def warn(cls, check: str, message: str, advice: str | None = None, **details: Any) -> Self:
        """Return one that works and should be looked at."""
        return cls(check, "WARN", message, advice, details)

    @classmethod
    def fail(cls, check: str, message: str, advice: str | None = None, **details: Any) -> Self:
        """Return one by which something is not delivered, or is lost."""
        return cls(check, "FAIL", message, advice, details)


def counted(number: int, singular: str, plural: str = "") -> str:
    """Return a number, grouped, and what it counts."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def named(names: list[str] | tuple[str, ...], most: int = 5) -> str:
    """Return some names, and how many more there are."""
    shown = ", ".join(name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}…" for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"
