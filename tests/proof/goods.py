"""The events of the application, and the handlers of each event type: listed here, not read from the bus."""

from __future__ import annotations

from typing import Any, Final

MODULE: Final = "tests.proof.application"

RECEIVED: Final = "goods.received"
ORDERED: Final = "goods.ordered"
PICKED: Final = "goods.picked"
PACKED: Final = "goods.packed"
FLAWED: Final = "goods.flawed"
PAID: Final = "goods.paid"

JOURNAL: Final = f"{MODULE}:journal"
"""Runs for every event."""
BOOK: Final = f"{MODULE}:book"
"""Writes in its own transaction, which records its run."""

HANDLERS: Final = {
    RECEIVED: {f"{MODULE}:shelve", f"{MODULE}:count", f"{MODULE}:label", JOURNAL},
    ORDERED: {f"{MODULE}:order", JOURNAL},
    PICKED: {f"{MODULE}:tally", JOURNAL},
    PACKED: {f"{MODULE}:tally", JOURNAL},
    FLAWED: {f"{MODULE}:inspect", JOURNAL},
    PAID: {BOOK, JOURNAL},
}

PAYMENTS: Final = "proof_payments"
"""The business documents that are written together with an event, under the event's id."""
BOOKINGS: Final = "proof_bookings"
"""The documents of `book`: one for each commit of its transaction."""


def children(order: str) -> list[tuple[str, dict[str, Any]]]:
    """Return type and payload of each child that the handler of an order publishes; the last two are equal."""
    picked = [(PICKED, {"order": order, "number": number}) for number in range(2)]
    return [*picked, (PACKED, {"order": order}), (PACKED, {"order": order})]
