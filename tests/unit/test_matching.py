"""`--grep`: what is looked for, where, and for how long."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from craft_easy.core.events.history.endings import Ending
from craft_events_cli import matching
from craft_events_cli.exit_codes import UsageError
from craft_events_cli.matching import Grep, search

EVENT: dict[str, Any] = {
    "_id": 1,
    "event_id": "e-1",
    "event_type": "order.placed",
    "timestamp": datetime(2026, 1, 31, 10),  # noqa: DTZ001 - as records are decoded for reading
    "tenant_id": "acmé",
    "actor_id": None,
    "payload": {"order_id": "o_1", "note": "a/b"},
    "delivery": {"state": "open"},
}


def found(*texts: str, record: dict[str, Any] = EVENT, ending: Ending | None = None) -> bool:
    return Grep([search(text) for text in texts])(record, ending)


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("o_1", True),
        ("O_1", False),
        ("order.placed", True),
        ("acmé", True),
        ('"order_id":"o_1"', True),
        ("a/b", True),
        ("/o_[0-9]/", True),
        ("/O_[0-9]/", False),
        ("/O_[0-9]/i", True),
        ("/acm./", True),
        ("o_.", False),
        ("open", False),
        ("handler", False),
    ],
)
def test_a_text_is_looked_for_as_it_is_and_an_expression_between_slashes(text: str, is_found: bool) -> None:
    assert found(text) is is_found


def test_one_of_several_is_enough() -> None:
    assert found("nothing", "o_1")
    assert not found("nothing", "/else/")


def test_a_delivery_that_ended_is_looked_at_too() -> None:
    ended = Ending("e-1", "order.placed", "acmé", "a", "failed", 1, "KeyError: é", 1.0, None, datetime.now(UTC))
    assert found("KeyError: é", ending=ended)
    assert found("o_1", ending=ended)
    assert not found("ValueError", ending=ended)


@pytest.mark.parametrize("text", ["", "/(/", "/(?<=a+)b/", "/[z-a]/i"])
def test_what_cannot_be_looked_for_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"every event|no regular expression"):
        search(text)


def test_an_expression_that_takes_for_ever_ends_with_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "LONGEST_S", 0.05)
    with pytest.raises(UsageError, match=r"event e-1 for more than 0\.05 s"):
        found("/(x+x+)+y/", record=EVENT | {"payload": {"x": "x" * 60}})


def test_in_another_thread_nothing_is_guarded_and_all_is_found() -> None:
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(found("/o_1/")))
    thread.start()
    thread.join()
    assert answers == [True]
