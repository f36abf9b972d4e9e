"""The ids of events that handlers publish."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from craft_easy.core.events import DomainEvent
from craft_easy.core.events.engine.children import as_child, derived_id
from craft_easy.core.events.handlers.context import CurrentDelivery
from craft_easy.core.events.store.documents import event_content

GOLDEN: list[tuple[str, dict[str, Any], int, str, str]] = [
    (
        "01a0b3c4-d5e6-7abc-8def-0123456789ab",
        {"event_type": "child.born"},
        0,
        "",
        "01a0b3c4-d5e6-748f-8389-ab80e4101732",
    ),
    (
        "01a0b3c4-d5e6-7abc-8def-0123456789ab",
        {"event_type": "child.born"},
        1,
        "",
        "01a0b3c4-d5e6-753f-ab8f-e30f5ce48052",
    ),
    (
        "01a0b3c4-d5e6-7abc-8def-0123456789ab",
        {"event_type": "child.born"},
        0,
        "replay-1",
        "01a0b3c4-d5e6-7c7b-8a6a-caf020857999",
    ),
    (
        "order-17",
        {
            "event_type": "child.born",
            "tenant_id": "acme",
            "actor_id": "u_1",
            "payload": {"text": "grüß", "n": 1, "f": 1.5, "none": None},
        },
        0,
        "",
        "ebc9ad51-73bb-8291-bfce-1d94aa2748f3",
    ),
    (
        "01a0b3c4-d5e6-7abc-8def-0123456789ab",
        {
            "event_type": "child.born",
            "payload": {
                "b": {"z": [1, {"y": True}], "a": 1099511627776},
                "at": datetime(2026, 1, 31, 10, 0, 0, 123456, tzinfo=UTC),
                "d": Decimal("12.50"),
                "raw": b"\x00\x01",
            },
        },
        2,
        "",
        "01a0b3c4-d5e6-7daf-a3f3-613ff9bf4103",
    ),
    (
        "01a0b3c4-d5e6-7abc-8def-0123456789ab",
        {"event_type": "child.born", "payload": {"tags": {"a", "b"}}},
        0,
        "",
        "01a0b3c4-d5e6-7316-947a-000d2ec27b1f",
    ),
]
"""Parent, content, number, replay and the id that version 1 derived."""


@pytest.mark.parametrize(("parent_id", "content", "number", "replay_id", "derived"), GOLDEN)
def test_the_ids_of_children_are_those_of_version_1(
    parent_id: str, content: dict[str, Any], number: int, replay_id: str, derived: str
) -> None:
    data = event_content(DomainEvent(**content))
    assert derived_id(parent_id, "shop:handler", data, number, replay_id=replay_id) == derived


def test_equal_events_are_numbered_and_one_that_is_published_again_keeps_its_number() -> None:
    parent = CurrentDelivery(DomainEvent(event_type="parent.done"), "handler")
    one, other = (DomainEvent(event_type="child.born") for _ in range(2))
    ids = [as_child(event, parent, event_content).event_id for event in (one, other, one)]
    assert ids[0] == ids[2] != ids[1]


def test_an_id_that_was_given_and_a_cause_of_another_event_stay() -> None:
    parent = CurrentDelivery(DomainEvent(event_type="parent.done"), "handler")
    other = CurrentDelivery(DomainEvent(event_type="parent.done"), "handler")
    given = as_child(DomainEvent(event_type="child.born", event_id="mine"), parent, event_content)
    assert (given.event_id, given.causation_id) == ("mine", parent.event.event_id)
    child = as_child(DomainEvent(event_type="child.born"), parent, event_content)
    assert as_child(child, other, event_content) is child
