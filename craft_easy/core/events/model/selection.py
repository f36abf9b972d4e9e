"""The selection of events that commands and operations share, with its patterns of event types. Pure."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final, Literal, Self


class NoTenant(Enum):
    """The type of `NO_TENANT`, which asks for events without a tenant where None asks for any."""

    NO_TENANT = "no tenant"

    def __repr__(self) -> str:
        return self.name


NO_TENANT: Final = NoTenant.NO_TENANT
"""Give this as `tenant_id` to ask for events that have none."""

STATES: Final = ("open", "dead", "done", "untracked")


@dataclass(frozen=True, slots=True)
class Selection:
    """A selection of events: the values of one field are joined with OR, the fields with AND; an empty one selects all.

    Args:
        tenants: tenant ids.
        no_tenant: events without a tenant, in addition to those of `tenants` where any are given.
        types: patterns of event types.
        except_types: patterns of event types that are left out.
        actors: actor ids.
        states: any of "open", "dead", "done" and "untracked".
        since: aware; earlier events are left out.
        until: aware; events at this time and later are left out.
        limit: the maximum number of events, applied after every other condition; None for all.
        reverse: newest first.
        event_ids: ids of events, at most about 1,000, because one query holds them all; None for any.

    Raises:
        ValueError: a limit below 1, a naive time, an unknown state, an empty pattern.
    """

    tenants: tuple[str, ...] = ()
    no_tenant: bool = False
    types: tuple[str, ...] = ()
    except_types: tuple[str, ...] = ()
    actors: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    limit: int | None = None
    reverse: bool = False
    event_ids: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit must be at least 1, not {self.limit}")
        if not all((*self.types, *self.except_types)):
            raise ValueError("a pattern of event types must not be empty; '*' matches every event type")
        for state in self.states:
            if state not in STATES:
                raise ValueError(f"state {state!r} does not exist: choose from {', '.join(STATES)}")
        _check_aware("since", self.since)
        _check_aware("until", self.until)

    @classmethod
    def of(
        cls,
        *,
        tenant_id: str | NoTenant | None = None,
        event_type: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
        reverse: bool = False,
    ) -> Self:
        """Return the selection for the arguments of `EventStore.replay`."""
        return cls(
            tenants=() if tenant_id is None or tenant_id is NO_TENANT else (tenant_id,),
            no_tenant=tenant_id is NO_TENANT,
            types=() if event_type is None else (event_type,),
            since=since,
            until=until,
            limit=limit,
            reverse=reverse,
        )

    @property
    def is_empty(self) -> bool:
        """True if the window is empty, so that nothing can be selected."""
        if self.since is None or self.until is None:
            return False
        return up_to_millisecond(self.since) >= up_to_millisecond(self.until)

    def without_limit(self) -> Self:
        """Return the same selection without its limit."""
        return replace(self, limit=None)


def up_to_millisecond(moment: datetime) -> datetime:
    """Return a time rounded up to whole milliseconds, in UTC.

    The log keeps whole milliseconds, so `since <= t < until` selects the same events when both ends are rounded up.
    """
    microseconds = moment.microsecond % 1000
    utc = moment.astimezone(UTC)
    return utc if microseconds == 0 else utc + timedelta(microseconds=1000 - microseconds)


def _check_aware(name: Literal["since", "until"], moment: datetime | None) -> None:
    if moment is not None and moment.utcoffset() is None:
        raise ValueError(f"{name} must have a time zone: {moment.isoformat()} has none")


# ---------------------------------------------------------------------- patterns

_WILDCARDS: Final = re.compile(r"([*?]+)")
_END: Final = r"(?![\s\S])"
"""The end of the text: `$` would also match before a trailing newline."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern of event types: `*` matches any run of characters, dots included, `?` any single character.

    Args:
        text: the pattern as typed.
        is_exact: the pattern has no wildcard and matches one event type only.
        prefix: the literal text before the first wildcard, with which every matching type starts.
        regex: the pattern as an anchored regular expression that Python's `re` and PCRE (MongoDB's `$regex`) both read.
    """

    text: str
    is_exact: bool
    prefix: str
    regex: str
    _compiled: re.Pattern[str] = field(repr=False, compare=False)

    def matches(self, event_type: str) -> bool:
        """Return whether the whole event type matches."""
        if self.is_exact:
            return event_type == self.text
        return self._compiled.match(event_type) is not None


@functools.lru_cache(maxsize=1024)
def compile_pattern(pattern: str) -> Pattern:
    """Return the compiled form of a pattern.

    >>> compile_pattern("payment.*").matches("payment.refund.failed")
    True

    Raises:
        ValueError: the pattern is empty.
        TypeError: the pattern is not a string.
    """
    if not isinstance(pattern, str):
        raise TypeError(f"a pattern must be a string such as 'payment.*', not {pattern!r}")
    if not pattern:
        raise ValueError("a pattern must not be empty; '*' matches every event type")
    literal, *rest = _WILDCARDS.split(pattern)
    regex = "^" + _escape(literal) + "".join(map(_translate, rest)) + _END
    return Pattern(pattern, is_exact=not rest, prefix=literal, regex=regex, _compiled=re.compile(regex))


def _translate(part: str) -> str:
    if part.startswith(("*", "?")):
        return r"[\s\S]" * part.count("?") + r"[\s\S]*" * ("*" in part)
    return _escape(part)


def _escape(text: str) -> str:
    return re.escape(text).replace("\0", r"\x00")
