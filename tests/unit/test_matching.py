"""`--grep`: the texts, and the part of an event that is searched."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from craft_easy.core.events.history.endings import Ending
from craft_events_cli.matching import Grep, search_text

EVENT: dict[str, Any] = {
    "_id": 1,
    "event_id": "e-1",
    "event_type": "order.placed",
    "timestamp": datetime(2026, 1, 31, 10),  # noqa: DTZ001 - records are decoded like this
    "tenant_id": "acmé",
    "actor_id": None,
    "payload": {"order_id": "o_1", "note": "a/b"},
    "delivery": {"state": "open"},
}


def found(*texts: str, record: dict[str, Any] = EVENT, ending: Ending | None = None) -> bool:
    return Grep([search_text(text) for text in texts])(record, ending)


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("o_1", True),
        ("O_1", False),
        ("order.placed", True),
        ("acmé", True),
        ('"order_id":"o_1"', True),
        ("a/b", True),
        ("/o_1/", False),
        ("o_.", False),
        ("open", False),
        ("handler", False),
    ],
)
def test_a_text_is_searched_for_as_it_is(text: str, is_found: bool) -> None:
    assert found(text) is is_found


def test_one_of_several_is_enough() -> None:
    assert found("nothing", "o_1")
    assert not found("nothing", "else")


def test_a_delivery_that_ended_is_looked_at_too() -> None:
    ended = Ending("e-1", "order.placed", "acmé", "a", "failed", 1, "KeyError: é", 1.0, None, datetime.now(UTC))
    assert found("KeyError: é", ending=ended)
    assert found("o_1", ending=ended)
    assert not found("ValueError", ending=ended)


def test_an_empty_text_is_refused() -> None:
    with pytest.raises(ValueError, match="every event"):
        search_text("")
