import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from craft_easy.core.events.engine import outcomes as module
from craft_easy.core.events.engine.outcomes import OutcomeWriter, OwnedRecord
from craft_easy.core.events.errors import RecordRefused, StoreError, StoreUnavailable
from craft_easy.core.events.model.delivery import Delivery, Ended
from craft_easy.core.events.model.retry import ErrorText, Outcome, OutcomeKind
from craft_easy.core.events.store.deliveries import Deliveries, PendingChange, Tracked
from tests.support.conditions import becomes

NOW = datetime(2026, 1, 31, 10, tzinfo=UTC)


class FakeDeliveries:
    """Applies changes in memory; can wait, fail, or refuse records with errors."""

    def __init__(self) -> None:
        self.groups: list[list[Any]] = []
        self.failures: list[Exception] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.refuses_errors = False
        self.locked: set[Any] = set()
        self.odd: set[Any] = set()

    async def change(self, changes: Sequence[PendingChange], *, seconds: float | None = None) -> None:
        self.groups.append([change.record.id for change in changes])
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        if self.locked & {change.record.id for change in changes}:
            raise StoreUnavailable("no answer before the deadline")
        if self.odd & {change.record.id for change in changes}:
            raise StoreError("code 987654")
        after = [change.transition(change.record.delivery) for change in changes]
        if self.refuses_errors and any(handler.errors for record in after for handler in record.handlers):
            raise RecordRefused("too large")
        for change, delivery in zip(changes, after, strict=True):
            change.record.delivery = delivery

    async def change_apart(self, changes: Sequence[PendingChange]) -> list[PendingChange]:
        left = [change for change in changes if change.record.id in self.locked | self.odd]
        await self.change([change for change in changes if change not in left])
        return left


@pytest.fixture
def deliveries() -> FakeDeliveries:
    return FakeDeliveries()


@pytest.fixture
def writer(deliveries: FakeDeliveries, monkeypatch: pytest.MonkeyPatch) -> OutcomeWriter:
    monkeypatch.setattr(module, "PAUSE", 0.001)
    return OutcomeWriter(cast("Deliveries", deliveries), lambda: NOW)


def owned(number: int, *handlers: str) -> OwnedRecord:
    delivery = Delivery.new(handlers or ("a",), at=NOW, owner="me")
    record = OwnedRecord(Tracked({"_id": number, "event_id": f"e{number}"}, delivery), "me")
    record.has_run = True
    return record


def ended(handler: str = "a", kind: OutcomeKind = OutcomeKind.SUCCEEDED, **values: Any) -> Ended:
    return Ended(Outcome(handler, kind, **values), NOW, handler)


async def test_outcomes_of_one_turn_of_the_loop_share_one_write(
    writer: OutcomeWriter, deliveries: FakeDeliveries
) -> None:
    for number in range(5):
        writer.add(owned(number), ended(), is_finished=True)
    await writer.flush()
    assert deliveries.groups == [[0, 1, 2, 3, 4]]


async def test_outcomes_during_a_write_are_collected_for_the_next(
    writer: OutcomeWriter, deliveries: FakeDeliveries
) -> None:
    deliveries.gate.clear()
    first = owned(0, "a", "b")
    writer.add(first, ended("a"))
    await becomes(lambda: deliveries.groups)
    writer.add(first, ended("b"), is_finished=True)
    writer.add(owned(1), ended(), is_finished=True)
    deliveries.gate.set()
    await writer.flush()
    assert deliveries.groups == [[0], [0, 1]]
    assert first.record.delivery.state == "done"


async def test_a_group_has_a_limit(
    writer: OutcomeWriter, deliveries: FakeDeliveries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GROUP", 2)
    for number in range(5):
        writer.add(owned(number), ended(), is_finished=True)
    await writer.flush()
    assert deliveries.groups == [[0, 1], [2, 3], [4]]


async def test_an_outage_is_waited_out_and_nothing_is_lost(writer: OutcomeWriter, deliveries: FakeDeliveries) -> None:
    deliveries.failures = [StoreUnavailable("gone"), StoreUnavailable("still gone")]
    record = owned(0)
    writer.add(record, ended(), is_finished=True)
    await writer.flush()
    assert len(deliveries.groups) == 3
    assert record.record.delivery.state == "done"


async def test_an_outcome_is_reported_once_it_is_stored(writer: OutcomeWriter, deliveries: FakeDeliveries) -> None:
    reported: list[tuple[str, str]] = []
    record = owned(0)
    record.on_stored = lambda each, delivery: reported.append((each.handler_id, delivery.state))
    deliveries.gate.clear()
    writer.add(record, ended(), is_finished=True)
    await becomes(lambda: deliveries.groups)
    assert reported == []
    deliveries.gate.set()
    await writer.flush()
    assert reported == [("a", "done")]


async def test_a_record_that_is_given_back_is_no_longer_owned(writer: OutcomeWriter) -> None:
    record = owned(0, "a", "b")
    writer.owned.add(record.ownership)
    writer.add(record, ended("a"))
    await writer.flush()
    assert writer.owned == {record.ownership}
    writer.add(record, ended("b", OutcomeKind.GIVEN_BACK), is_finished=True)
    await writer.flush()
    assert writer.owned == set()
    assert (record.record.delivery.owner, record.record.delivery.claimed_at) == (None, NOW)


async def test_a_record_that_never_ran_is_given_back_without_its_claim(writer: OutcomeWriter) -> None:
    record = owned(0)
    record.has_run = False
    writer.add(record, is_finished=True)
    await writer.flush()
    assert (record.record.delivery.owner, record.record.delivery.claimed_at) == (None, None)


async def test_the_texts_of_errors_are_dropped_if_the_record_would_be_too_large(
    writer: OutcomeWriter, deliveries: FakeDeliveries
) -> None:
    deliveries.refuses_errors = True
    broken, fine = owned(0), owned(1)
    writer.add(broken, ended(kind=OutcomeKind.FAILED, error=ErrorText("ValueError", "no")), is_finished=True)
    writer.add(fine, ended(), is_finished=True)
    await writer.flush()
    assert fine.record.delivery.state == "done"
    [entry] = broken.record.delivery.handlers
    assert (entry.attempts, entry.errors, entry.due_at is not None) == (1, (), True)


async def test_a_record_that_is_refused_for_good_stops_no_other(
    writer: OutcomeWriter, deliveries: FakeDeliveries, caplog: pytest.LogCaptureFixture
) -> None:
    deliveries.failures = [RecordRefused("group"), RecordRefused("alone"), RecordRefused("without errors")]
    broken, fine = owned(0), owned(1)
    writer.add(broken, ended(), is_finished=True)
    writer.add(fine, ended(), is_finished=True)
    await writer.flush()
    assert fine.record.delivery.state == "done"
    assert "the outcome of event e0 cannot be stored" in caplog.text


async def test_a_loop_that_closes_gets_one_last_write(writer: OutcomeWriter, deliveries: FakeDeliveries) -> None:
    deliveries.failures = [StoreUnavailable("gone")]
    first, second = owned(0), owned(1)
    writer.add(first, ended(), is_finished=True)
    await becomes(lambda: not deliveries.failures)
    writer.add(second, ended(), is_finished=True)
    assert writer._task is not None
    writer._task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writer._task
    assert (first.record.delivery.state, second.record.delivery.state) == ("done", "done")


async def test_the_last_write_of_a_loop_that_closes_does_not_wait_for_an_outage(
    writer: OutcomeWriter, deliveries: FakeDeliveries
) -> None:
    deliveries.failures = [StoreUnavailable("gone")] * 3
    writer.add(owned(0), ended(), is_finished=True)
    await becomes(lambda: len(deliveries.failures) == 2)
    assert writer._task is not None
    writer._task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writer._task
    assert len(deliveries.failures) == 1


async def test_a_failure_is_due_again_after_its_wait(writer: OutcomeWriter) -> None:
    record = owned(0)
    writer.add(record, ended(kind=OutcomeKind.RETRY, after=timedelta(minutes=5)), is_finished=True)
    await writer.flush()
    assert record.record.delivery.due_at == NOW + timedelta(minutes=5)


async def test_a_claim_waits_until_few_records_are_unwritten(writer: OutcomeWriter, deliveries: FakeDeliveries) -> None:
    await writer.wait_for_room(1)
    deliveries.gate.clear()
    for number in range(3):
        writer.add(owned(number), ended(), is_finished=True)
    await writer.wait_for_room(4)
    waiting = asyncio.create_task(writer.wait_for_room(3))
    await becomes(lambda: deliveries.groups)
    assert not waiting.done()
    deliveries.gate.set()
    await waiting
    assert len(deliveries.groups) == 1


async def test_a_record_that_is_locked_keeps_no_other_waiting(
    writer: OutcomeWriter, deliveries: FakeDeliveries
) -> None:
    deliveries.locked = {1}
    records = [owned(number) for number in range(3)]
    for record in records:
        writer.add(record, ended(), is_finished=True)
    await becomes(lambda: [record.record.delivery.state for record in records] == ["done", "open", "done"])
    deliveries.locked.clear()
    await writer.flush()
    assert records[1].record.delivery.state == "done"


async def test_a_record_refused_for_an_unknown_reason_is_retried_and_delays_no_other(
    writer: OutcomeWriter, deliveries: FakeDeliveries
) -> None:
    odd, others = owned(0), [owned(number) for number in range(1, 4)]
    deliveries.odd = {0}
    writer.add(odd, ended())
    await becomes(lambda: len(deliveries.groups) > 1)
    for record in others:
        writer.add(record, ended())
    await becomes(lambda: all(record.record.delivery.state == "done" for record in others))
    assert [odd.record.delivery.state] == ["open"]
    deliveries.odd.clear()
    await writer.flush()
    assert odd.record.delivery.state == "done"
