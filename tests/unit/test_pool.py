"""The slots of a pool, and records that do not run to their end."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from craft_easy.core.events.engine import pool
from craft_easy.core.events.engine.pauses import KnownPauses
from craft_easy.core.events.engine.pool import ClaimedRecord, RunnerPool, Slots
from craft_easy.core.events.engine.shares import SLOW_S, Shares
from craft_easy.core.events.model.envelope import EPOCH
from craft_easy.core.events.model.retry import Outcome, OutcomeKind
from tests.support.conditions import becomes


async def test_items_of_a_key_keep_their_order_and_the_concurrency_is_limited() -> None:
    seen: defaultdict[int, list[int]] = defaultdict(list)
    running: set[int] = set()
    most = 0

    async def work(item: tuple[int, int]) -> None:
        nonlocal most
        key, number = item
        assert key not in running
        running.add(key)
        most = max(most, len(running))
        for _ in range(number % 4):
            await asyncio.sleep(0)
        seen[key].append(number)
        running.discard(key)

    slots = Slots(3, work)
    for number in range(200):
        slots.add(number % 7, (number % 7, number))
        if number % 50 == 0:
            await slots.idle()
    await slots.idle()
    assert {key: sorted(numbers) for key, numbers in seen.items()} == seen
    assert (sum(map(len, seen.values())), most) == (200, 3)


async def test_one_slow_key_delays_no_other() -> None:
    may_end, seen = asyncio.Event(), []

    async def work(item: str) -> None:
        if item == "slow":
            await may_end.wait()
        seen.append(item)

    slots = Slots(2, work)
    for item in ("slow", "slow", "a", "b", "c"):
        slots.add(item if item != "b" else None, item)  # a key may be None: an event without a tenant
    await becomes(lambda: seen == ["a", "b", "c"])
    may_end.set()
    await slots.idle()
    assert seen[3:] == ["slow", "slow"]


async def test_slots_that_are_stopped_begin_nothing_more() -> None:
    may_end, seen = asyncio.Event(), []

    async def work(item: int) -> None:
        seen.append(item)
        await may_end.wait()

    slots = Slots(2, work)
    for item in range(4):
        slots.add("a", item)
    await becomes(lambda: seen == [0])
    stopping = asyncio.create_task(slots.stop(5))
    await asyncio.sleep(0)
    assert slots.is_closed
    may_end.set()
    assert await stopping == [1, 2, 3]
    assert seen == [0]


async def test_an_exception_of_the_work_is_raised() -> None:
    async def work(item: int) -> None:
        raise ValueError(item)

    slots = Slots(2, work)
    slots.add("a", 1)
    with pytest.raises(ValueError, match="1"):
        await slots.idle()


async def test_an_item_that_is_not_admitted_waits_and_lets_the_others_pass() -> None:
    refused, seen = {"a"}, []

    async def work(item: str) -> None:
        seen.append(item)

    slots = Slots(2, work, lambda item: item not in refused)
    for item in "abc":
        slots.add(item, item)
    await slots.idle()
    assert seen == ["b", "c"]
    refused.clear()
    slots.fill()
    await slots.idle()
    assert seen == ["b", "c", "a"]


class FakeRun:
    """Stands for the run of a record: it ends when it is released."""

    def __init__(self, *_: object) -> None:
        self.abandoned = 0
        self.is_given_back = False
        self.end = asyncio.Event()
        runs.append(self)

    async def run(self, *, is_alone: bool) -> None:
        try:
            await self.end.wait()
        except asyncio.CancelledError:
            self.abandoned = 1
            raise

    def give_back(self) -> None:
        self.is_given_back = True


runs: list[FakeRun] = []


def due(handler_id: str = "slow") -> Any:
    return SimpleNamespace(
        handler=SimpleNamespace(id=handler_id), given_back=Outcome(handler_id, OutcomeKind.GIVEN_BACK, 1)
    )


def claimed(number: int, *deliveries: Any) -> ClaimedRecord:
    document = {"event_id": f"e{number}", "event_type": "x", "timestamp": EPOCH, "payload": {}}
    record = SimpleNamespace(document=document)
    owned = SimpleNamespace(record=record, key=f"e{number}", ownership=(number, "me"))
    return ClaimedRecord(cast("Any", owned), deliveries)


@pytest.fixture
def given_back(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of the records that the pool of `pool_of` has given back; `FakeRun` runs the records."""
    monkeypatch.setattr(pool, "RecordRun", FakeRun)
    monkeypatch.setattr(pool, "RecordSink", lambda *_: None)
    runs.clear()
    return []


def pool_of(
    size: int, given_back: list[str], shares: Shares | None = None, slow: AbstractSet[str] = frozenset()
) -> RunnerPool:
    writer = SimpleNamespace(add=lambda owned, *, is_finished: given_back.append(owned.key))
    running = SimpleNamespace(longer_than=lambda _: set(slow))
    worker = SimpleNamespace(running_handlers=running, pauses=KnownPauses(lambda: EPOCH))
    return RunnerPool(cast("Any", SimpleNamespace(writer=writer, worker=worker)), size, lambda: None, shares)


async def test_a_record_whose_run_cannot_start_is_given_back_and_the_others_continue(
    given_back: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("no")

    monkeypatch.setattr(pool, "RecordSink", refuse)
    shares = Shares(2)
    records = pool_of(2, given_back, shares)
    await records.start([claimed(1, due()), claimed(2)])
    await records.idle()
    assert sorted(given_back) == ["e1", "e2"]
    assert "the deliveries of event e1 were interrupted" in caplog.text
    assert shares.may_begin("slow", free=1)


async def test_a_stop_gives_back_the_records_that_did_not_begin_and_those_that_run_too_long(
    given_back: list[str],
) -> None:
    records = pool_of(1, given_back)
    starting = asyncio.create_task(records.start([claimed(1, due()), claimed(2, due())]))
    await becomes(lambda: len(runs) == 1)
    await records.stop(grace=0)
    await starting
    assert given_back == ["e2"]
    assert records.abandoned == 1


async def test_a_start_that_is_cancelled_gives_back_the_records_that_did_not_begin(given_back: list[str]) -> None:
    records = pool_of(1, given_back)
    starting = asyncio.create_task(records.start([claimed(1, due()), claimed(2, due())]))
    await becomes(lambda: len(runs) == 1)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert given_back == ["e2"]
    await records.stop(grace=0)


async def test_a_suspect_gets_its_turn_while_another_claim_loop_goes_on(given_back: list[str]) -> None:
    records = pool_of(2, given_back)
    await records.start([claimed(1, due())])
    await becomes(lambda: len(runs) == 1)
    running, turn = asyncio.Event(), asyncio.Event()

    async def suspect() -> None:
        async with records.exclusive():
            running.set()
            await turn.wait()

    suspected = asyncio.create_task(suspect())
    await asyncio.sleep(0)
    other = asyncio.create_task(records.start([claimed(2, due())]))
    await asyncio.sleep(0)
    assert (len(runs), running.is_set()) == (1, False)
    runs[0].end.set()
    await running.wait()
    assert len(runs) == 1
    turn.set()
    await suspected
    await other
    await becomes(lambda: len(runs) == 2)
    await records.stop(grace=0)


async def test_a_quick_handler_goes_on_while_a_suspect_waits_for_slow_ones(given_back: list[str]) -> None:
    shares = Shares(4)
    records = pool_of(4, given_back, shares, slow={"slow"})
    await records.start([claimed(1, due("slow"))])
    await becomes(lambda: len(runs) == 1)
    async with suspect_waiting(records) as has_its_turn:
        await records.start([claimed(2, due("quick"))])
        held = asyncio.create_task(records.start([claimed(3, due("slow"))]))
        await asyncio.sleep(0)
        assert (len(runs), has_its_turn.is_set(), held.done()) == (2, False, False), "only the slow one is held"
        shares.end(due("slow").given_back)
        runs[0].end.set()
        await asyncio.sleep(2 * SLOW_S)
        later = asyncio.create_task(records.start([claimed(4, due("quick"))]))
        await asyncio.sleep(2 * SLOW_S)
        assert len(runs) == 2, "nothing slow runs any more: nothing else begins before the suspect"
        shares.end(due("quick").given_back)
        runs[1].end.set()
        await has_its_turn.wait()
        assert (held.done(), later.done()) == (False, False)
    await held
    await later
    await records.stop(grace=0)


@asynccontextmanager
async def suspect_waiting(records: RunnerPool) -> AsyncIterator[asyncio.Event]:
    """Have a suspect wait for its turn, which ends with the block; the event tells when it has begun."""
    begun, end = asyncio.Event(), asyncio.Event()

    async def run() -> None:
        async with records.exclusive():
            begun.set()
            await end.wait()

    running = asyncio.create_task(run())
    await asyncio.sleep(0)
    yield begun
    end.set()
    await running


async def test_a_suspect_that_is_cancelled_before_its_turn_lets_the_others_go_on(given_back: list[str]) -> None:
    records = pool_of(2, given_back)
    await records.start([claimed(1, due())])
    suspect = asyncio.create_task(records.exclusive().__aenter__())
    await asyncio.sleep(0)
    suspect.cancel()
    with pytest.raises(asyncio.CancelledError):
        await suspect
    await records.start([claimed(2, due())])
    await becomes(lambda: len(runs) == 2)
    await records.stop(grace=0)


async def test_a_handler_that_hangs_leaves_slots_to_the_others(given_back: list[str]) -> None:
    records = pool_of(10, given_back, Shares(10))
    slow = asyncio.create_task(records.start([claimed(number, due("slow")) for number in range(20)]))
    await becomes(lambda: len(runs) == 7)
    await records.start([claimed(number, due("quick")) for number in range(20, 22)])
    await becomes(lambda: len(runs) == 9)
    slow.cancel()
    await records.stop(grace=0)


async def test_records_of_handlers_that_are_claimed_elsewhere_are_given_back(given_back: list[str]) -> None:
    records, elsewhere = pool_of(1, given_back, Shares(1)), set[str]()
    starting = asyncio.create_task(
        records.start([claimed(1, due()), claimed(2, due()), claimed(3, due())], is_elsewhere=elsewhere.__contains__)
    )
    await becomes(lambda: len(runs) == 1)
    elsewhere.add("slow")
    assert not await starting
    assert given_back == ["e2", "e3"]
    await records.stop(grace=0)


async def test_a_record_begins_with_the_deliveries_that_have_a_share_left(given_back: list[str]) -> None:
    shares = Shares(4)
    records = pool_of(4, given_back, shares)
    failed = Outcome("failing", OutcomeKind.FAILED, 1)
    for _ in range(3):
        shares.begin("failing")
        shares.end(failed)
    await records.start([claimed(1, due("failing"))])
    both = claimed(2, due("failing"), due("quick"))
    await records.start([both])
    assert [one.handler.id for one in both.due] == ["quick"]
    await records.stop(grace=0)
