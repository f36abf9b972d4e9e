"""Which events are meant: the selection that every command and use-case shares. Pure data, no database."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
