"""The events that handlers publish: their causes, and ids that are the same at a second run of the handler.

A handler that runs twice and publishes the same content publishes the *same* events, the second time as no-ops. Events
of other content have other ids: none is dropped because a second run took another path.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import blake2b
from typing import Final
from uuid import UUID

from craft_easy.core.events.handlers.context import CurrentDelivery, Numbering
from craft_easy.core.events.model.event import DomainEvent, caused_event

_UUID7: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE)


def child_id(parent: CurrentDelivery, content: bytes, number: int) -> str:
    """Return the id of an event that is published inside a delivery, which is the same at each run.

    Args:
        parent: the delivery; a replay that publishes has ids of its own.
        content: the content of the event, as bytes that are equal where two events have the same content.
        number: the number of equal events that this delivery published before.
    """
    return derived_id(parent.event.event_id, parent.handler_id, content, number, replay_id=parent.replay_id or "")


def derived_id(parent_id: str, handler_id: str, content: bytes, number: int, *, replay_id: str = "") -> str:
    """Return the id of a child, computed from its parts; see `child_id`.

    It is a UUID of version 7 (RFC 9562) with the milliseconds of the parent, so that the event is next to the parent in
    the log, and a BLAKE2b (RFC 7693) in place of random bits; or of version 8 if the parent's id contains no time.
    """
    digest = blake2b(digest_size=16)
    for part in (parent_id, handler_id, replay_id, str(number)):
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(4, "big") + data)
    digest.update(content)
    bits = bytearray(digest.digest())
    version = 0x80
    if _UUID7.fullmatch(parent_id):
        bits[:6] = UUID(parent_id).bytes[:6]
        version = 0x70
    bits[6] = bits[6] & 0x0F | version
    bits[8] = bits[8] & 0x3F | 0x80
    return str(UUID(bytes=bytes(bits)))


def as_child(event: DomainEvent, parent: CurrentDelivery, content: Callable[[DomainEvent], bytes]) -> DomainEvent:
    """Return an event as it is stored when it is published inside a delivery: with its cause and a derived id.

    The event itself is not changed. An id that the caller gave is kept.

    Args:
        event: the event that is about to be published.
        parent: the delivery that it is published in.
        content: returns bytes that are equal for events of the same content.
    """
    if event.causation_id not in (None, parent.event.event_id):
        return event
    event_id = None
    if "event_id" not in event.model_fields_set:
        if parent.numbering is None:
            parent.numbering = Numbering()
        data = content(event)
        event_id = child_id(parent, data, parent.numbering.number(event.event_id, data))
    chain = parent.event.correlation_id or parent.event.event_id
    return caused_event(event, causation_id=parent.event.event_id, correlation_id=chain, event_id=event_id)
