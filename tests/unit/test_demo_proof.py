"""The comparison at the end of the demo: it holds only if nothing is missing, and names what is."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from craft_events_cli.demo.proof import Proof, deliveries, undone


def record(event_id: str, **handlers: str) -> dict[str, Any]:
    entries = [{"id": name, "state": state} for name, state in handlers.items()]
    return {"event_id": event_id, "delivery": {"handlers": entries}}


@pytest.fixture
def proof() -> Proof:
    """Two events, of which one delivery was in flight at the kill and ran twice."""
    return Proof.of(
        ["e1"],
        [record("e1", mail="done", audit="done"), record("e2", mail="done")],
        in_flight={"e2:mail"},
        ledger=Counter(["e1:mail", "e1:audit", "e2:mail", "e2:mail"]),
    )


def test_it_holds_if_all_is_handled_and_only_deliveries_in_flight_ran_twice(proof: Proof) -> None:
    assert proof.holds
    assert proof.deliveries == {"e1:mail", "e1:audit", "e2:mail"}
    assert proof.repeated == {"e2:mail"}
    assert not proof.wrongly_repeated


def test_an_event_whose_publish_returned_and_that_is_not_stored_is_lost(proof: Proof) -> None:
    broken = replace(proof, published=frozenset({"e1", "e3"}))
    assert broken.lost == {"e3"}
    assert not broken.holds


def test_a_delivery_that_is_not_in_the_ledger_is_missing(proof: Proof) -> None:
    broken = replace(proof, ledger=Counter(["e1:mail", "e2:mail"]))
    assert broken.missing == {"e1:audit"}
    assert not broken.holds


def test_a_delivery_that_ran_twice_and_was_not_in_flight_is_a_fault(proof: Proof) -> None:
    broken = replace(proof, in_flight=frozenset())
    assert broken.wrongly_repeated == {"e2:mail"}
    assert not broken.holds


def test_a_delivery_that_the_log_does_not_call_done_is_a_fault(proof: Proof) -> None:
    assert not replace(proof, undone=frozenset({"e1:mail"})).holds


def test_an_empty_log_proves_nothing(proof: Proof) -> None:
    assert not Proof.of([], [], in_flight=set(), ledger=Counter()).holds


def test_an_unfinished_delivery_is_pending_dead_or_skipped() -> None:
    one = record("e1", a="done", b="pending", c="dead", d="skipped")
    assert undone(one) == ["e1:b", "e1:c", "e1:d"]


def test_a_record_without_a_delivery_has_none() -> None:
    assert deliveries({"event_id": "e1", "delivery": None}) == []
