"""What the log knows of an event beside its fields."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from craft_easy.core.events.model.event import DomainEvent


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an event comes from; no part of its fields, its dumps and its comparisons."""

    payload: dict[str, Any] | None = None
    """The payload of the record; None for an event that was made here."""
    is_foreign: bool = False
    causation_id: str | None = None
    correlation_id: str | None = None
    is_derived: bool = False
    """The id was derived from the delivery that the event was published in."""


_MADE_HERE: Final = Origin()


def stored_payload(event: DomainEvent) -> dict[str, Any]:
    """Return the payload to print, export, compare and store: that of the record, if the event came from the log.

    So it stays what it was, whatever classes are loaded and however they have changed since. It is not a copy.
    """
    payload = origin_of(event).payload
    return event.payload if payload is None else payload


def is_foreign(event: DomainEvent) -> bool:
    """Return whether another writer stored the event, in a form that this one would not have."""
    return origin_of(event).is_foreign


def set_cause(event: DomainEvent, *, causation_id: str, correlation_id: str) -> None:
    """Note the event in whose handler this one was published, and the first event of that chain."""
    set_origin(event, replace(origin_of(event), causation_id=causation_id, correlation_id=correlation_id))


def is_derived(event: DomainEvent) -> bool:
    """Return whether the event's id was derived from the delivery that it was published in."""
    return origin_of(event).is_derived


def set_derived_id(event: DomainEvent, event_id: str) -> None:
    """Give an event the id that its parent's delivery derives for it: whoever holds the object sees it from now on."""
    event.__dict__["event_id"] = event_id
    event.__pydantic_fields_set__.add("event_id")
    set_origin(event, replace(origin_of(event), is_derived=True))


# Pydantic's own slot for private values carries the origin through copies and pickles. A declared private attribute
# would do the same, and cost every event half of its construction again.
def origin_of(event: DomainEvent) -> Origin:
    """Return where an event comes from."""
    private = event.__pydantic_private__
    return private.get("_origin", _MADE_HERE) if private else _MADE_HERE


def set_origin(event: DomainEvent, origin: Origin) -> None:
    """Note where an event comes from."""
    private = {**(event.__pydantic_private__ or {}), "_origin": origin}
    object.__setattr__(event, "__pydantic_private__", private)
