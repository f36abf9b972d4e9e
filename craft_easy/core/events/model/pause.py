"""A paused handler: its deliveries wait, without an attempt, until an operator resumes it or its time is over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Pause:
    """The pause of one handler.

    Args:
        handler: the id of the handler, or an alias, by which its deliveries are named in the log.
        paused_at: the database's time of the pause; None where another program wrote it without a time.
        by: who paused it, `user@host`.
        until: the database's time at which the pause ends by itself; None until it is resumed.
        reason: as given.
    """

    handler: str
    paused_at: datetime | None = None
    by: str | None = None
    until: datetime | None = None
    reason: str | None = None

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Read a stored pause; a field of another type counts as missing."""
        return cls(
            handler=str(document["_id"]),
            paused_at=_time(document.get("paused_at")),
            by=_text(document.get("by")),
            until=_time(document.get("until")),
            reason=_text(document.get("reason")),
        )

    def holds(self, at: datetime) -> bool:
        """Return whether the handler is still paused at a time of the database's clock."""
        return self.until is None or at < self.until


@dataclass(frozen=True, slots=True)
class PausedHandler:
    """A paused handler, and the number of open deliveries that wait for it.

    The count stops at 10,001, which stands for any larger number too.
    """

    pause: Pause
    waiting: int

    @property
    def handler(self) -> str:
        """The id of the handler."""
        return self.pause.handler


def _time(value: object) -> datetime | None:
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
