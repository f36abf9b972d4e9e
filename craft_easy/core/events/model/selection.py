"""Which events are meant: the selection that every command and use-case shares. Pure data, no database.

Patterns over event types, points and windows of time as people write them (`2h`, `1d12h`, `2026-01-31`,
`2026-01-31T10:00:00Z`, epoch seconds), and the selection itself. Pure: whoever resolves a relative time brings the
clock, which is the database's. Without a zone a time is UTC.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, timezone
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
    """A choice of events: values of one field are OR, different fields AND; nothing given chooses all.

    Args:
        tenants: tenant ids.
        no_tenant: also events without a tenant; alone, only those.
        types: patterns of event types.
        except_types: patterns of event types that are left out.
        actors: actor ids.
        event_ids: ids of events, no more than one query holds, say 1,000; None for any.
        states: of "open", "dead", "done" and "untracked".
        since: the first time meant, aware.
        until: the first time not meant any more, aware.
        limit: at most so many, counted after every other condition; None for all.
        reverse: newest first.

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
            raise ValueError("a pattern of event types must not be empty")
        for state in self.states:
            if state not in STATES:
                raise ValueError(f"there is no state {state!r}: there are {', '.join(STATES)}")
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
        """Return the selection that the arguments of `EventStore.replay` mean."""
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
        """Tell whether the window of time holds no moment, so that nothing can be chosen."""
        if self.since is None or self.until is None:
            return False
        return up_to_millisecond(self.since) >= up_to_millisecond(self.until)

    def without_limit(self) -> Self:
        """Return the same selection of all events that meet it."""
        return replace(self, limit=None)


def up_to_millisecond(moment: datetime) -> datetime:
    """Return the first whole millisecond, in UTC, that is not before the moment.

    The log keeps whole milliseconds: `since <= t < until` means the same for both ends rounded up.
    """
    rest = moment.microsecond % 1000
    whole = moment.astimezone(UTC)
    return whole if rest == 0 else whole + timedelta(microseconds=1000 - rest)


def _check_aware(name: Literal["since", "until"], moment: datetime | None) -> None:
    if moment is not None and moment.utcoffset() is None:
        raise ValueError(f"{name} must have a time zone: {moment.isoformat()} has none")


# ---------------------------------------------------------------------- patterns

_WILDCARDS: Final = re.compile(r"([*?]+)")
_END: Final = r"(?![\s\S])"
"""The true end of the text: `$` would also stop before a trailing newline."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern over event types: `*` is any run of characters, dots included, `?` is one, all else is literal.

    Args:
        text: the pattern as it was written.
        is_exact: it holds no wildcard, so it matches the type of its own text and nothing else.
        prefix: what every matching type starts with: the literal text before the first wildcard.
        regex: the same as an anchored regular expression that Python's `re` and PCRE (MongoDB's `$regex`) both read.
    """

    text: str
    is_exact: bool
    prefix: str
    regex: str
    _compiled: re.Pattern[str] = field(repr=False, compare=False)

    def matches(self, event_type: str) -> bool:
        """Tell whether the whole event type matches."""
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
        TypeError: it is not a string.
    """
    if not isinstance(pattern, str):
        raise TypeError(f"a pattern is a string such as 'payment.*', not {pattern!r}")
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


# ---------------------------------------------------------------------- times

EXAMPLES: Final = "Try 2h, 1d12h, 2026-01-31 or 2026-01-31T10:00:00Z"

_AGO: Final = re.compile(r"(?:([0-9]+)w)?(?:([0-9]+)d)?(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?")
_EPOCH: Final = re.compile(r"(-?[0-9]+)(?:\.([0-9]{1,9}))?")
_DATE: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?"
    r"([Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time: absolute, or so long before a `now` that is not known yet; one of the two is set."""

    text: str
    absolute: datetime | None = None
    ago: timedelta | None = None

    def at(self, now: datetime) -> datetime:
        """Return the point in time, aware and in UTC.

        Raises:
            ValueError: it lies before the year 1.
        """
        if self.absolute is not None:
            return self.absolute
        try:
            return now.astimezone(UTC) - (self.ago or timedelta())
        except OverflowError:
            raise ValueError(f"{_quoted(self.text)} lies before the year 1. {EXAMPLES}") from None


@dataclass(frozen=True, slots=True)
class Window:
    """`since ≤ timestamp < until`; None is open."""

    since: datetime | None = None
    until: datetime | None = None

    def __str__(self) -> str:
        since = _shown(self.since) if self.since else "the beginning"
        until = _shown(self.until) if self.until else "now"
        return f"{since} … {until} UTC"


def parse_moment(text: str) -> Moment:
    """Read a time.

    Raises:
        ValueError: it is no time, or none that exists; the message shows how times are written.
    """
    try:
        moment = _read(text)
    except OverflowError:
        raise ValueError(
            f"{_quoted(text)} lies outside the years 1 to 9999{_milliseconds_hint(text)}. {EXAMPLES}"
        ) from None
    except ValueError:
        moment = None
    if moment is None:
        raise ValueError(f"{_quoted(text)} is no time. {EXAMPLES}")
    return moment


def parse_time(text: str, *, now: datetime) -> datetime:
    """Read a time; a relative one is that long before `now`."""
    return parse_moment(text).at(now)


def window(since: Moment | None, until: Moment | None, *, now: datetime) -> Window:
    """Return the window between two moments.

    Raises:
        ValueError: it is empty, or a moment cannot be resolved.
    """
    resolved = Window(since.at(now) if since else None, until.at(now) if until else None)
    if resolved.since and resolved.until and resolved.since >= resolved.until:
        raise ValueError(f"the window is empty: {_shown(resolved.since)} is not before {_shown(resolved.until)} (UTC)")
    return resolved


def _read(text: str) -> Moment | None:
    if match := _AGO.fullmatch(text):
        weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        ago = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
        return Moment(text, ago=ago) if text else None
    if match := _EPOCH.fullmatch(text):
        return Moment(text, absolute=_from_epoch(match[1], match[2] or ""))
    if match := _DATE.fullmatch(text):
        return Moment(text, absolute=_from_date(match))
    return None


def _from_epoch(seconds: str, fraction: str) -> datetime:
    sign = -1 if seconds.startswith("-") else 1
    return _BEGINNING + timedelta(seconds=int(seconds), microseconds=sign * _microseconds(fraction))


def _from_date(match: re.Match[str]) -> datetime:
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    naive = datetime(  # noqa: DTZ001 - the zone is put on below
        int(year),
        int(month),
        int(day),
        int(hour or 0),
        int(minute or 0),
        int(second or 0),
        _microseconds(fraction or ""),
    )
    return naive.replace(tzinfo=_zone(zone)).astimezone(UTC)


def _zone(text: str | None) -> timezone:
    if text is None or text in "Zz":
        return UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if minutes > 59:
        raise ValueError(text)
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if text[0] == "-" else offset)


def _milliseconds_hint(text: str) -> str:
    return " (epoch times are in seconds)" if text.isascii() and text.isdigit() else ""


def _microseconds(fraction: str) -> int:
    return int(fraction[:6].ljust(6, "0"))


def _shown(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(" ", _precision(moment))


def _quoted(text: str) -> str:
    return f'"{text if len(text) <= 80 else text[:79] + "…"}"'


def _precision(moment: datetime) -> str:
    if not moment.microsecond:
        return "seconds"
    return "microseconds" if moment.microsecond % 1000 else "milliseconds"
