"""Import of events from lines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from craft_easy.core.events.engine.report import ConnectionLost
from craft_easy.core.events.errors import InvalidSetting, StoreError, StoreUnavailable
from craft_easy.core.events.operations import import_
from craft_easy.core.events.operations.import_ import Imported, ImportNotice, import_events
from craft_easy.core.events.operations.publish import publish_lines
from craft_easy.core.events.store import EventStore
from tests.store.transfers import AT, RefusedLines, chunks, fill, line, text_of
from tests.support.bson_types import ID

# ------------------------------------------------------------------ import


async def test_bad_lines_are_reported_by_number_and_the_others_are_stored(store: EventStore) -> None:
    refused_lines = RefusedLines()
    data = line(1) + b"\n\nnonsense\n" + line(2) + line(3, event_id="") + line(4)[:-9]
    imported = await import_events(store, chunks(data), observer=refused_lines)
    assert (imported.stored, imported.bad, imported.lines) == (2, 3, 5)
    assert [one.line for one in refused_lines.lines] == [4, 6, 7]
    assert "may be cut off" in refused_lines.lines[-1].error
    assert [one.event_id for one in await store.replay()] == ["e000001", "e000002"]


async def test_another_event_under_the_same_id_is_a_conflict_that_is_named(store: EventStore) -> None:
    refused_lines = RefusedLines()
    data = line(1) + line(1) + line(1, payload={"a": 1}) + line(1, timestamp="2020-01-31T10:00:00Z")
    imported = await import_events(store, chunks(data), observer=refused_lines)
    assert (imported.stored, imported.present, imported.conflicts) == (1, 2, 1)
    (refused,) = refused_lines.lines
    assert (refused.line, refused.event_id, refused.is_conflict) == (3, "e000001", True)
    assert (await store.replay())[0].payload == {}


async def test_a_dry_run_counts_what_would_be_stored_and_writes_nothing(real_store: EventStore) -> None:
    await import_events(real_store, chunks(line(1) + line(2)))
    delivery = {"handlers": [{"id": "shop:mail", "state": "pending"}, {"id": "shop:audit", "state": "done"}]}
    data = line(1) + line(2, payload={"a": 1}) + line(3, tenant_id="acme", delivery=delivery) + b"x\n"
    imported = await import_events(real_store, chunks(data), with_delivery=True, dry_run=True)
    assert (imported.stored, imported.present, imported.conflicts, imported.bad) == (1, 1, 1, 1)
    counts = imported.counts
    assert (counts.events, counts.deliveries, dict(counts.by_tenant)) == (1, 1, {"acme": 1})
    assert dict(counts.by_handler) == {"shop:mail": 1}
    assert len(await real_store.replay()) == 2


async def test_a_record_without_an_id_is_exported_as_it_is_and_refused_by_an_import(real_store: EventStore) -> None:
    await fill(real_store, [{"_id": ID, "event_type": "t", "timestamp": AT, "payload": {}}])
    for dry_run in (True, False):
        imported = await import_events(real_store, chunks(await text_of(real_store)), dry_run=dry_run)
        assert (imported.stored, imported.present, imported.is_clean) == (0, 0, False)


async def test_an_import_that_was_broken_off_is_run_again(real_store: EventStore) -> None:
    data = b"".join(line(number) for number in range(30))

    async def broken() -> AsyncIterator[bytes]:
        yield data[: len(data) // 2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await import_events(real_store, broken())
    imported = await import_events(real_store, chunks(data))
    assert imported.stored + imported.present == 30
    assert len(await real_store.replay(limit=None)) == 30


async def test_an_outage_is_waited_out(real_store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    insert, failures = real_store.insert, iter([True, True])
    lost: list[ConnectionLost] = []

    async def sometimes(found: Sequence[Mapping[str, Any]]) -> Any:
        if next(failures, False):
            raise StoreUnavailable("away")
        return await insert(found)

    def note(notice: ImportNotice) -> None:
        if isinstance(notice, ConnectionLost):
            lost.append(notice)

    monkeypatch.setattr(real_store, "insert", sometimes)
    monkeypatch.setattr(import_, "_FIRST_WAIT", 0.0)
    assert (await import_events(real_store, chunks(line(1)), observer=note)).stored == 1
    assert len(lost) == 2


async def test_a_record_that_the_server_refuses_is_a_bad_line(
    real_store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(found: Sequence[Mapping[str, Any]]) -> Any:
        from craft_easy.core.events.errors import RecordRefused
        from craft_easy.core.events.store import InsertResult

        return [InsertResult(one, error=RecordRefused("too odd")) for one in found]

    monkeypatch.setattr(real_store, "insert", refuse)
    refused_lines = RefusedLines()
    imported: Imported = await import_events(real_store, chunks(line(1)), observer=refused_lines)
    assert (imported.bad, refused_lines.lines[0].error) == (1, "too odd")


async def test_a_write_that_is_refused_for_one_record_loses_no_other(
    real_store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedded server refuses a whole write if one of its dates is past the year 9999; MongoDB accepts it."""
    insert = real_store.insert

    async def strict(found: Sequence[Mapping[str, Any]]) -> Any:
        if any("odd" in one["payload"] for one in found):
            raise StoreError("invalid BSON in body")
        return await insert(found)

    monkeypatch.setattr(real_store, "insert", strict)
    refused_lines = RefusedLines()
    data = b"".join(line(number, payload={"odd": 1} if number in (3, 8) else {}) for number in range(10))
    imported = await import_events(real_store, chunks(data), observer=refused_lines)
    assert (imported.stored, imported.bad) == (8, 2)
    assert [(one.line, one.error) for one in refused_lines.lines] == [
        (4, "invalid BSON in body"),
        (9, "invalid BSON in body"),
    ]


async def test_a_missing_file_is_refused_before_the_log_is_queried(tmp_path: Path) -> None:
    store = EventStore(uri="mongodb://127.0.0.1:1/")
    with pytest.raises(InvalidSetting):
        await import_events(store, tmp_path / "nothing")
    with pytest.raises(InvalidSetting):
        await publish_lines(store, tmp_path)
