"""The result of each record of a chunk, with a scripted server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from pymongo.errors import BulkWriteError

from craft_easy.core.events.errors import EventConflict, InvalidEvent, RecordRefused, StoreError, StoreUnavailable
from craft_easy.core.events.store import append as append_module
from craft_easy.core.events.store import faults
from craft_easy.core.events.store.append import Appender
from craft_easy.core.events.store.documents import new_record
from craft_easy.core.events.types import DomainEvent

if TYPE_CHECKING:
    from craft_easy.core.events.store.log import Log


class Server:
    """Replaces a log, its connection and its collection."""

    def __init__(self, details: dict[str, Any] | None = None, stored: tuple[dict[str, Any], ...] = ()) -> None:
        self.details = details
        self.stored = stored
        self.chunks: list[int] = []

    timeout = 30.0
    where = "db:1"

    @property
    def events(self) -> Server:
        return self

    @asynccontextmanager
    async def deadline(self, _: float) -> AsyncIterator[None]:
        yield

    @asynccontextmanager
    async def call(self) -> AsyncIterator[Any]:
        with faults.translate_errors(self.where):
            yield self

    async def prepare(self) -> Server:
        return self

    def with_options(self, **_: Any) -> Server:
        return self

    def find(self, condition: dict[str, Any]) -> Any:
        ((field, named),) = condition.items()
        found = [one for one in self.stored if one[field] in named["$in"]]

        async def to_list(_: None) -> list[dict[str, Any]]:
            return found

        return SimpleNamespace(to_list=to_list)

    async def insert_many(self, documents: list[Any], *, ordered: bool) -> None:
        assert not ordered
        self.chunks.append(len(documents))
        if self.details is not None:
            raise BulkWriteError(self.details)


def record(number: int = 0, **payload: Any) -> dict[str, Any]:
    return new_record(DomainEvent(event_type="x.y", event_id=f"e-{number}", payload=payload))


def refused(index: int, code: int) -> dict[str, Any]:
    return {"index": index, "code": code, "errmsg": "E: no"}


async def insert(server: Any, records: list[dict[str, Any]]) -> list[append_module.InsertResult]:
    return await Appender(server).append(records)


async def test_chunks_hold_a_thousand_records_or_eight_megabytes() -> None:
    server = Server()
    assert all(one.is_inserted for one in await insert(server, [record(number) for number in range(2_100)]))
    assert server.chunks == [1_000, 1_000, 100]
    server = Server()
    await insert(server, [record(number, text="x" * 3_000_000) for number in range(5)])
    assert server.chunks == [2, 2, 1]
    server = Server()
    await insert(server, [record(number, text="x" * 9_000_000) for number in range(2)])
    assert server.chunks == [1, 1]
    assert await insert(Server(), []) == []


async def test_each_record_has_its_own_result_in_order() -> None:
    records = [record(0), record(1), record(2), record(3)]
    other = {**record(2), "tenant_id": "another"}
    details = {"writeErrors": [refused(1, 121), refused(2, 11000), refused(3, 11000)]}
    results = await insert(Server(details, (other, record(3))), records)
    assert [one.record["event_id"] for one in results] == ["e-0", "e-1", "e-2", "e-3"]
    assert [one.is_inserted for one in results] == [True, False, False, False]
    assert [one.is_conflict for one in results] == [False, False, True, False]
    results[0].check()
    results[3].check()
    with pytest.raises(RecordRefused, match="refused event 'e-1': E: no"):
        results[1].check()
    with pytest.raises(EventConflict, match="'e-2'"):
        results[2].check()


async def test_an_id_under_another_record_id_is_found_by_the_event_id() -> None:
    old = {**record(0), "_id": "of another writer"}
    (result,) = await insert(Server({"writeErrors": [refused(0, 11000)]}, (old,)), [record(0)])
    assert result.stored == old
    assert not result.is_conflict


def unacknowledged() -> dict[str, Any]:
    return {"code": 64, "errmsg": "waiting"}


async def test_a_write_that_the_majority_does_not_acknowledge_is_not_known_to_be_stored() -> None:
    details = {"writeErrors": [], "writeConcernErrors": [unacknowledged()]}
    with pytest.raises(StoreUnavailable, match="waiting"):
        await insert(Server(details), [record()])


async def test_a_taken_id_that_cannot_be_read_is_not_reported_as_stored() -> None:
    with pytest.raises(StoreUnavailable, match="not yet by the majority"):
        await insert(Server({"writeErrors": [refused(0, 11000)]}), [record()])


async def test_a_duplicate_and_a_write_concern_error_do_not_fail_the_batch_for_good() -> None:
    twin = record(0)
    server = Server({"writeErrors": [refused(0, 11000)], "writeConcernErrors": [unacknowledged()]}, (twin,))
    appender = Appender(cast("Log", server))
    duplicate, *others = [asyncio.create_task(appender.append([record(number)])) for number in range(1_000)]
    assert (await duplicate)[0].stored == twin
    errors = await asyncio.gather(*others, return_exceptions=True)
    assert {str(error) for error in errors} == {"db:1: waiting"}
    assert {type(error) for error in errors} == {StoreUnavailable}, "they can be sent again"
    assert len(server.chunks) == 1


async def test_an_unreachable_shard_is_not_a_refusal_of_its_records() -> None:
    server = Server({"writeErrors": [refused(0, 133), refused(2, 121)]})
    appender = Appender(cast("Log", server))
    calls = [asyncio.create_task(appender.append([record(number)])) for number in range(3)]
    away, stored, odd = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(away, StoreUnavailable)
    assert isinstance(stored, list)
    assert stored[0].is_inserted
    assert isinstance(odd, list)
    assert isinstance(odd[0].error, RecordRefused)


async def test_an_unknown_refusal_is_not_taken_for_a_permanent_one() -> None:
    (result,) = await insert(Server({"writeErrors": [refused(0, 987_654)]}), [record()])
    assert type(result.error) is StoreError


async def test_a_record_that_is_too_large_is_refused_before_its_chunk_is_sent() -> None:
    server = Server()
    large = record(1)
    large["payload"] = {"text": "x" * 16_000_000}
    with pytest.raises(InvalidEvent):
        await insert(server, [record(0), large])
    assert server.chunks == []
