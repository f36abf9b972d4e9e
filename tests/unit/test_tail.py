"""Following a log: last events and stream without repeats, lost connections, servers without change streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from craft_easy.core.events.checkpoint import Checkpoint
from craft_easy.core.events.engine import outage
from craft_easy.core.events.errors import CheckpointError, StoreUnavailable
from craft_easy.core.events.history import bookmark, changes, tail
from craft_easy.core.events.history.tail import TailNotice, follow, recall
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.store.change_stream import ChangeStreamsMissing, LogChange, LogDropped

NOW = datetime(2026, 1, 31, 10, tzinfo=UTC)


def record(number: int, **fields: Any) -> dict[str, Any]:
    return {"_id": number, "timestamp": NOW.replace(tzinfo=None) + timedelta(seconds=number)} | fields


@dataclass
class Stream:
    """Yields the given items: records, None for a second without any, errors."""

    script: list[Any]
    token: str | None = "begin"
    is_closed: bool = False

    async def next(self) -> Any:
        if not self.script:
            raise LogDropped("the script is at its end")
        one = self.script.pop(0)
        if isinstance(one, Exception):
            raise one
        if one is not None:
            self.token = f"after {one['_id']}"
        return one if one is None else LogChange(one)

    async def aclose(self) -> None:
        self.is_closed = True


@dataclass
class Store:
    """A log in memory with the interface of a feed."""

    history: list[dict[str, Any]] = field(default_factory=list)
    streams: list[Any] = field(default_factory=list)
    watched: list[tuple[Selection, Any]] = field(default_factory=list)
    clock: datetime = NOW
    within: list[float] = field(default_factory=list)

    async def now(self) -> datetime:
        return self.clock

    async def watch(self, selection: Selection, *, after: Any, updates: bool, within: float) -> Any:
        self.watched.append((selection, after))
        self.within.append(within)
        stream = self.streams.pop(0)
        if isinstance(stream, Exception):
            raise stream
        return stream

    async def batches(self, selection: Selection, *, for_json: bool) -> AsyncGenerator[list[Any], None]:
        assert for_json
        since = selection.since
        found = [one for one in self.history if since is None or one["timestamp"].replace(tzinfo=UTC) >= since]
        found = found[:: -1 if selection.reverse else 1][: selection.limit]
        for begin in range(0, len(found), 2):
            yield found[begin : begin + 2]


class Notices:
    """Stores the notices and their names."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.all: list[TailNotice] = []

    def __call__(self, notice: TailNotice) -> None:
        self.words.append(type(notice).__name__)
        self.all.append(notice)


async def seen(store: Store, selection: Selection | None = None, **options: Any) -> list[tuple[int, bool]]:
    """Follow until the script ends; return the numbers of the records and whether they were live."""
    found: list[tuple[int, bool]] = []
    blocks = follow(cast("EventStore", store), selection or Selection(), **options)
    async with aclosing(blocks):
        try:
            async for block in blocks:
                found += [(one["_id"], block.is_live) for one in block.records]
        except LogDropped:
            pass
    return found


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Skip the feed's waits; returns their durations."""
    waits: list[float] = []
    sleep = asyncio.sleep

    async def pass_by(seconds: float) -> None:
        waits.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", pass_by)
    return waits


async def test_the_last_come_first_and_then_what_is_stored() -> None:
    stream = Stream([record(4), None, record(5)])
    store = Store([record(1), record(2), record(3)], [stream])
    assert await seen(store, last=2) == [(2, False), (3, False), (4, True), (5, True)]
    assert stream.is_closed


async def test_the_stream_does_not_repeat_the_last_events() -> None:
    store = Store([record(1), record(2)], [Stream([record(2), record(1), record(3)])])
    assert await seen(store) == [(1, False), (2, False), (3, True)]


async def test_the_stream_is_open_before_anything_is_recalled() -> None:
    store = Store(streams=[StoreUnavailable("not reached")])
    with pytest.raises(StoreUnavailable):
        await seen(store)
    assert len(store.watched) == 1


async def test_since_recalls_everything_from_there() -> None:
    store = Store([record(1), record(2), record(3)], [Stream([record(4)])])
    since = NOW + timedelta(seconds=2)
    assert await seen(store, Selection(since=since), last=1) == [(2, False), (3, False), (4, True)]


async def test_no_last_events_are_shown_with_n_0() -> None:
    store = Store([record(1)], [Stream([record(2)])])
    assert await seen(store, last=0) == [(2, True)]


@pytest.mark.parametrize(("limit", "expected"), [(1, [2]), (2, [1, 2]), (3, [1, 2, 3])])
async def test_a_limit_counts_what_is_recalled_and_what_is_live(limit: int, expected: list[int]) -> None:
    store = Store([record(1), record(2)], [Stream([record(3), record(4)])])
    notices = Notices()
    found = await seen(store, Selection(limit=limit), observer=notices)
    assert [number for number, _ in found] == expected
    assert notices.words == (["WentLive"] if limit > 2 else [])


async def test_after_a_lost_connection_the_stream_continues_behind_the_last_change(no_waiting: list[float]) -> None:
    lost = StoreUnavailable("gone")
    first, second = Stream([record(1), None, lost]), Stream([record(2)])
    store, notices = Store(streams=[first, lost, lost, second]), Notices()
    assert await seen(store, observer=notices) == [(1, True), (2, True)]
    assert [after for _, after in store.watched] == [None, "after 1", "after 1", "after 1"]
    assert notices.words == ["WentLive", "ConnectionLost", "ConnectionResumed"]
    assert set(no_waiting) == {outage.RETRY_S}
    assert first.is_closed


async def test_each_failure_to_resume_gives_the_next_try_more_time(no_waiting: list[float]) -> None:
    lost = StoreUnavailable("the oplog takes its time")
    streams = [Stream([lost]), *[lost] * 5, Stream([None, record(1), lost]), Stream([])]
    store = Store(streams=streams)
    assert await seen(store) == [(1, True)]
    assert store.within == [3, 6, 12, 24, 48, 60, 60, 6]


async def test_a_position_that_left_the_oplog_is_never_skipped() -> None:
    store = Store(streams=[Stream([record(1), StoreUnavailable("gone")]), CheckpointError("too long away")])
    with pytest.raises(CheckpointError):
        await seen(store)


async def test_a_record_with_an_unhashable_id_is_distinguished_from_others() -> None:
    odd = record(1, _id={"a": 1})
    store = Store([odd], [Stream([dict(odd), record(2)])])
    found = [one async for block in follow(cast("EventStore", store), Selection(limit=2)) for one in block.records]
    assert found == [odd, record(2)]


async def test_a_long_history_is_not_remembered_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "_REMEMBERED", 0)
    old, recent = record(-3600), record(-1)
    store = Store([old, recent], [Stream([old, recent, record(1)])])
    assert await seen(store) == [(-3600, False), (-1, False), (-3600, True), (1, True)]


async def test_recall_ends_by_itself() -> None:
    store = Store([record(number) for number in range(5)])
    blocks = [block async for block in recall(cast("EventStore", store), Selection(), last=3)]
    assert [one["_id"] for block in blocks for one in block.records] == [2, 3, 4]


# Filters in addition to the selection, and the limit of a wait


def even(record: Mapping[str, Any], _: Any) -> bool:
    return bool(record["_id"] % 2 == 0)


async def test_a_further_choice_holds_for_what_is_recalled_and_for_what_is_live() -> None:
    store = Store([record(number) for number in range(6)], [Stream([record(6), record(7), record(8)])])
    assert await seen(store, last=2, only=even) == [(2, False), (4, False), (6, True), (8, True)]


async def test_a_limit_counts_the_events_that_a_further_filter_accepts() -> None:
    store = Store([record(number) for number in range(6)], [Stream([record(6), record(7), record(8)]), Stream([])])
    found = await seen(store, Selection(since=NOW, limit=4), only=even)
    assert found == [(0, False), (2, False), (4, False), (6, True)]
    assert await seen(store, Selection(since=NOW, limit=1), only=lambda *_: True) == [(0, False)]


async def test_the_last_matching_events_are_searched_among_a_limited_number_and_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tail, "SEARCHED", 4)
    store, notices = Store([record(number) for number in range(9)], [Stream([])]), Notices()
    assert await seen(store, last=3, only=even, observer=notices) == [(6, False), (8, False)]
    assert notices.all == [tail.SearchedEnough(4, 2), tail.WentLive()]


async def test_it_ends_after_a_time_without_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    time = iter(range(0, 1000, 2))
    monkeypatch.setattr(tail, "steady", lambda: float(next(time)))
    store, notices = Store(streams=[Stream([None, record(1), *[None] * 50])]), Notices()
    assert await seen(store, wait_max=10, observer=notices) == [(1, True)]
    assert notices.all == [tail.WentLive(), tail.NothingCame(10)]
    assert len(store.watched) == 1


# A checkpoint


@dataclass
class Tokens(Stream):
    """A stream whose tokens are objects, like those of a server."""

    async def next(self) -> Any:
        change = await super().next()
        self.token = {"_data": self.token}  # type: ignore[assignment]
        return change


def point(path: Path, selection: Selection | None = None) -> Checkpoint:
    return Checkpoint(path, kind="tail", log="shop.event_log", filters={})


async def test_a_tail_continues_from_its_checkpoint_and_shows_no_earlier_event(tmp_path: Path) -> None:
    path, begin = tmp_path / "point", cast("Any", {"_data": "begin"})
    store = Store([record(1)], [Tokens([record(2)], begin), Tokens([record(3)], begin)])
    assert await seen(store, checkpoint=point(path)) == [(1, False), (2, True)]
    assert await seen(store, Selection(since=NOW), checkpoint=point(path)) == [(3, True)]
    assert [after for _, after in store.watched] == [None, {"_data": "after 2"}]
    assert store.watched[1][0].since is None


async def test_an_unfinished_block_is_yielded_again(tmp_path: Path) -> None:
    begin = cast("Any", {"_data": "begin"})
    store = Store(streams=[Tokens([record(1), record(2)], begin), Tokens([], begin)])
    async with aclosing(follow(cast("EventStore", store), Selection(), checkpoint=point(tmp_path / "point"))) as blocks:
        async for block in blocks:
            if [one["_id"] for one in block.records] == [2]:
                break
    assert await seen(store, checkpoint=point(tmp_path / "point")) == []
    assert store.watched[1][1] == {"_data": "after 1"}


@pytest.mark.parametrize(("setting", "value"), [("NOTED_EVERY", 0.0), ("MAX_UNNOTED", 1)])
async def test_progress_is_stored_during_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, value: float
) -> None:
    monkeypatch.setattr(bookmark, setting, value)
    store = Store(streams=[Tokens([record(1), record(2)], cast("Any", {"_data": "begin"}))])
    async with aclosing(follow(cast("EventStore", store), Selection(), checkpoint=point(tmp_path / "point"))) as blocks:
        async for block in blocks:
            if [one["_id"] for one in block.records] == [2]:
                position = point(tmp_path / "point").read()
                assert position is not None
                assert position["token"] == {"_data": "after 1"}
                break


async def test_a_tail_killed_before_the_first_event_still_has_a_position(tmp_path: Path) -> None:
    store = Store(streams=[Tokens([LogDropped("gone")], cast("Any", {"_data": "begin"}))])
    assert await seen(store, checkpoint=point(tmp_path / "point")) == []
    position = point(tmp_path / "point").read()
    assert position == {"token": {"_data": "begin"}, "at": NOW.isoformat()}


NO_TOKENS: Sequence[Any] = (3, "x", [], {}, {"_data": 3}, {"$oid": "zz"}, {"_data": {"$numberDecimal": "x"}})


@pytest.mark.parametrize(
    "position",
    [
        {},
        {"token": {"_data": "x"}, "at": "soon"},
        {"token": {"_data": "x"}, "at": "0001-01-01T00:00:00+00:00"},
        {"token": {"_data": "x"}, "at": "2026-01-31T10:00:00"},
        *({"token": token, "at": NOW.isoformat()} for token in NO_TOKENS),
    ],
)
async def test_a_checkpoint_without_a_place_is_refused(tmp_path: Path, position: dict[str, Any]) -> None:
    point(tmp_path / "point").write(position)
    with pytest.raises(CheckpointError, match="no position of a change stream"):
        await seen(Store(), checkpoint=point(tmp_path / "point"))


async def test_a_stream_without_a_resume_token_is_not_jumped_over() -> None:
    store = Store(streams=[Stream([None, StoreUnavailable("gone")], token=None)])
    with pytest.raises(CheckpointError, match="no longer reaches back"):
        await seen(store)


# A server without change streams


class Growing(Store):
    """A log without change streams that grows by the content of `later` at each query after the first."""

    def __init__(self, history: list[dict[str, Any]], later: Sequence[Sequence[Mapping[str, Any]] | Exception]) -> None:
        super().__init__(history, [ChangeStreamsMissing("no replica set")])
        self.later = list(later)
        self.questions: list[datetime] = []

    async def batches(self, selection: Selection, *, for_json: bool) -> AsyncGenerator[list[Any], None]:
        if selection.since is not None:
            self.questions.append(selection.since)
            if len(self.questions) > 1:
                if not self.later:
                    raise LogDropped("the script is at its end")
                new = self.later.pop(0)
                if isinstance(new, Exception):
                    self.clock += timedelta(hours=1)
                    raise new
                self.history += [dict(one) for one in new]
        async for page in super().batches(selection, for_json=for_json):
            yield page


async def test_a_server_without_change_streams_is_polled(no_waiting: list[float]) -> None:
    store, notices = Growing([record(1)], [[], [record(2), record(3)], [record(4)]]), Notices()
    assert await seen(store, observer=notices) == [(1, False), (2, True), (3, True), (4, True)]
    assert notices.words == ["PollsInstead", "WentLive"]
    assert set(no_waiting) == {changes.POLL_EVERY}


async def test_some_polls_reach_far_back_so_that_a_late_event_is_found(
    no_waiting: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "WHOLE_EVERY", 3)
    store = Growing([record(1)], [[record(-100)], [record(-10)], [], [record(-1000)]])
    assert await seen(store) == [(1, False), (-10, True), (-100, True)]
    reach = [NOW - since for since in store.questions]
    assert reach == [changes.REACH, changes.NEAR, changes.NEAR, changes.REACH, changes.NEAR, changes.NEAR]


async def test_after_an_outage_the_question_reaches_back_to_before_it(no_waiting: list[float]) -> None:
    store, notices = Growing([], [StoreUnavailable("gone"), [record(1)]]), Notices()
    assert await seen(store, observer=notices) == [(1, True)]
    assert notices.words == ["PollsInstead", "WentLive", "ConnectionLost", "ConnectionResumed"]
    assert store.questions[1:3] == [NOW - changes.NEAR, NOW - changes.REACH]
    assert store.questions[3:] == [NOW + timedelta(hours=1) - changes.NEAR]
