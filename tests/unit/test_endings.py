"""The attempts that ended with each change of a record, each reported once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from craft_easy.core.events.history import endings as module
from craft_easy.core.events.history.endings import Ending, Endings
from craft_easy.core.events.model.delivery import Delivery, Ended, discard, finish, retry
from craft_easy.core.events.model.retry import ErrorText, Outcome, OutcomeKind, RetryPolicy
from craft_easy.core.events.store.documents import to_document

NOW = datetime(2026, 1, 31, 10, tzinfo=UTC)
ONCE = RetryPolicy(max_attempts=1)


def at(seconds: int) -> datetime:
    return NOW + timedelta(seconds=seconds)


def new(*handlers: str) -> Delivery:
    return Delivery.new(handlers, at=NOW, owner="worker")


def ran(
    delivery: Delivery, handler: str, seconds: int, kind: OutcomeKind = OutcomeKind.SUCCEEDED, **fields: Any
) -> Delivery:
    entry = delivery.handler(handler)
    assert entry is not None
    error = ErrorText("KeyError", "no such order") if kind is OutcomeKind.FAILED else None
    outcome = Outcome(handler, kind, attempt=entry.attempts + 1, took_ms=12.3456, error=error, **fields)
    return finish(delivery, [Ended(outcome, at(seconds), handler)], owner="worker", key="e", at=at(seconds))


def record(delivery: Any) -> dict[str, Any]:
    document = to_document(delivery) if isinstance(delivery, Delivery) else delivery
    return {"_id": 1, "event_id": "e", "event_type": "order.placed", "tenant_id": "acme", "delivery": document}


def said(endings: list[Ending]) -> list[tuple[str, str, int]]:
    return [(one.handler, one.outcome, one.attempt) for one in endings]


def test_an_attempt_that_ended_is_reported_with_all_its_fields() -> None:
    first = ran(new("a", "b"), "a", 1, OutcomeKind.FAILED)
    assert Endings(NOW).of(1, record(first)) == [
        Ending("e", "order.placed", "acme", "a", "failed", 1, "KeyError: no such order", 12.346, None, at(1), "open")
    ]


def test_each_attempt_is_reported_once_with_any_writes_in_between() -> None:
    endings, delivery = Endings(NOW), new("a", "b")
    assert endings.of(1, record(delivery)) == []
    delivery = ran(delivery, "a", 1, OutcomeKind.FAILED)
    assert said(endings.of(1, record(delivery))) == [("a", "failed", 1)]
    assert endings.of(1, record(delivery)) == []
    delivery = ran(delivery, "b", 2)
    assert said(endings.of(1, record(delivery))) == [("b", "done", 1)]
    delivery = ran(delivery, "a", 3)
    assert said(endings.of(1, record(delivery))) == [("a", "done", 2)]
    assert endings.of(1, record(delivery)) == []


def test_several_that_ended_with_one_write_come_in_order_of_time() -> None:
    delivery = ran(ran(new("a", "b"), "b", 1), "a", 2, OutcomeKind.FAILED, retry=ONCE)
    assert said(Endings(NOW).of(1, record(delivery))) == [("b", "done", 1), ("a", "dead", 1)]


def test_an_operator_s_retry_is_not_an_outcome_and_a_discard_has_no_attempt() -> None:
    endings = Endings(NOW)
    dead = ran(new("a"), "a", 1, OutcomeKind.FAILED, retry=ONCE)
    assert said(endings.of(1, record(dead))) == [("a", "dead", 1)]
    again = retry(dead, ["a"], at=at(2))
    assert endings.of(1, record(again)) == []
    (skipped,) = endings.of(1, record(discard(again, ["a"], reason="not wanted", at=at(3), by="ada")))
    assert (skipped.outcome, skipped.reason, skipped.error, skipped.took_ms) == ("skipped", "not wanted", None, None)


def test_a_requested_retry_is_reported_although_it_has_no_time() -> None:
    (one,) = Endings(NOW).of(1, record(ran(new("a"), "a", 1, OutcomeKind.RETRY)))
    assert (one.outcome, one.error, one.at) == ("failed", None, None)


def test_of_a_record_that_is_not_remembered_what_ended_before_its_claim_is_old() -> None:
    from dataclasses import replace

    delivery = replace(ran(new("a", "b"), "a", 1), claimed_at=at(5))
    assert said(Endings(NOW).of(1, record(ran(delivery, "b", 6)))) == [("b", "done", 1)]


def test_deliveries_that_ended_before_the_start_are_not_reported() -> None:
    delivery = ran(ran(new("a", "b"), "a", 1), "b", 6)
    assert said(Endings(at(5)).of(1, record(delivery))) == [("b", "done", 1)]


def test_the_number_of_remembered_records_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 2)
    endings = Endings(NOW)
    for key in range(5):
        endings.of(key, record(new("a")))
    assert list(endings._known) == [3, 4]


@pytest.mark.parametrize("delivery", [None, "x", [], 3, {"handlers": "x"}, {"handlers": [1, {"state": 7}]}])
def test_an_odd_delivery_of_another_program_ends_no_command(delivery: Any) -> None:
    assert Endings(NOW).of(1, record(delivery)) == []


def test_times_without_a_zone_are_utc() -> None:
    document = to_document(ran(new("a"), "a", 1))
    naive = at(1).replace(tzinfo=None)
    document["claimed_at"], document["handlers"][0]["finished_at"] = NOW.replace(tzinfo=None), naive
    (one,) = Endings(NOW).of(1, record(document))
    assert one.at == at(1)
