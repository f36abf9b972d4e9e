"""Export and import over a real log: the same bytes again, nothing written over, nothing lost."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bson
import pytest

from craft_easy.core.events.engine import outage
from craft_easy.core.events.engine.report import ConnectionLost
from craft_easy.core.events.errors import (
    CheckpointError,
    EventConflict,
    EventsError,
    InvalidEvent,
    InvalidSetting,
    StoreError,
    StoreUnavailable,
)
from craft_easy.core.events.model.delivery import Delivery, Failure, HandlerDelivery
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.operations import export, import_, publish
from craft_easy.core.events.operations.export import ExportBegan, ExportBlock, ExportNotice, export_file
from craft_easy.core.events.operations.import_ import Imported, ImportNotice, Refused, import_events
from craft_easy.core.events.operations.publish import publish_event, publish_lines
from craft_easy.core.events.store import EventStore, read
from craft_easy.core.events.store.documents import new_record, to_document
from craft_easy.core.events.testing import fresh_bus
from craft_easy.core.events.types import DomainEvent
from tests.unit.test_extended_json import EVERY_TYPE, ID

AT = datetime(2026, 1, 31, 10, tzinfo=UTC)
FAILURE = Failure("SMTPError", "refused \x1b[31m", AT, 1)
DONE = HandlerDelivery("shop:audit", state="done", attempts=1, finished_at=AT, took_ms=0.5)
PENDING = HandlerDelivery("shop:mail", due_at=AT + timedelta(minutes=1), attempts=1, took_ms=3.0, errors=(FAILURE,))
DEAD = replace(PENDING, state="dead", due_at=None, finished_at=AT, attempts=20, crashes=2, budget_from=3)
DELIVERIES = (
    Delivery.new(["shop:mail"], at=AT),
    Delivery(rev=3, due_at=PENDING.due_at, claimed_at=AT, takeovers=1, handlers=(DONE, PENDING)),
    Delivery(rev=7, state="dead", finished_at=AT, handlers=(DONE, DEAD)),
    Delivery(rev=1, state="done", finished_at=AT, handlers=(DONE,)),
    Delivery.new([], at=AT),
)


def event(number: int, **fields: Any) -> DomainEvent:
    said = {"event_id": f"e{number:06}", "event_type": "order.placed", "tenant_id": "acme", **fields}
    return DomainEvent(timestamp=AT + timedelta(seconds=number), **said)


def records() -> list[dict[str, Any]]:
    """Return records of every kind that comes back as it was."""
    ours = [new_record(event(number), to_document(one)) for number, one in enumerate(DELIVERIES)]
    values = [value for value in EVERY_TYPE.values() if not isinstance(value, bson.DatetimeMS)]  # see below
    typed = [new_record(event(10 + n, payload={"value": value})) for n, value in enumerate(values)]
    foreign = [
        {"_id": "text", "event_id": ID, "event_type": "t", "timestamp": AT, "tenant_id": 7},
        {"_id": 5, "seen": {"by": b"x"}, "event_type": "t", "event_id": "f2", "timestamp": AT, "payload": {}},
        {"_id": 6, "event_id": 6, "event_type": "t", "timestamp": AT, "payload": {}, "delivery": None},
    ]
    caused = new_record(event(90)) | {"causation_id": "e000001", "correlation_id": "e000001"}
    return [*ours, *typed, *foreign, caused]


async def fill(store: EventStore, documents: Sequence[Mapping[str, Any]]) -> None:
    async with store.call() as site:
        await site.events.insert_many([dict(one) for one in documents])


async def drop(store: EventStore) -> None:
    async with store.call() as site:
        await site.events.drop()


async def text_of(store: EventStore, json_format: export.JsonFormat = "relaxed") -> bytes:
    return b"".join([block.data async for block in export.blocks(store, json_format=json_format)])


async def chunks(*data: bytes) -> AsyncIterator[bytes]:
    for one in data:
        yield one


class RefusedLines:
    """An observer that keeps the lines which were not taken in."""

    def __init__(self) -> None:
        self.lines: list[Refused] = []

    def __call__(self, notice: ImportNotice) -> None:
        if isinstance(notice, Refused):
            self.lines.append(notice)


def line(number: int, **fields: Any) -> bytes:
    said = {"event_id": f"e{number:06}", "event_type": "order.placed", "timestamp": "2026-01-31T10:00:00Z"}
    return json.dumps(said | fields).encode() + b"\n"


# ------------------------------------------------------------------ there and back


@pytest.mark.parametrize("json_format", ["relaxed", "canonical"])
async def test_export_drop_import_export_gives_the_same_bytes(
    real_store: EventStore, json_format: export.JsonFormat, tmp_path: Path
) -> None:
    await fill(real_store, records())
    first = tmp_path / "first.ndjson.gz"
    assert (await export_file(real_store, first, json_format=json_format)).events == len(records())
    await drop(real_store)
    imported = await import_events(real_store, first, with_delivery=True)
    assert (imported.stored, imported.is_clean) == (len(records()), True)
    second = tmp_path / "second.ndjson.gz"
    await export_file(real_store, second, json_format=json_format)
    assert gzip.decompress(first.read_bytes()) == gzip.decompress(second.read_bytes())
    assert first.read_bytes() == second.read_bytes()


async def test_an_import_over_what_is_there_changes_nothing(real_store: EventStore) -> None:
    await fill(real_store, records())
    before = await text_of(real_store, "canonical")
    for with_delivery in (False, True):
        imported = await import_events(real_store, chunks(before), with_delivery=with_delivery)
        assert (imported.stored, imported.present, imported.is_clean) == (0, len(records()), True)
    assert await text_of(real_store, "canonical") == before


async def test_what_was_owned_is_open_and_owned_by_nobody(real_store: EventStore) -> None:
    owned = replace(Delivery.new(["shop:mail"], at=AT, owner="host:1:ab"), running="shop:mail", rev=4)
    await fill(real_store, [new_record(event(1), to_document(owned))])
    text = await text_of(real_store)
    await drop(real_store)
    await import_events(real_store, chunks(text), with_delivery=True)
    delivery = json.loads(await text_of(real_store))["delivery"]
    assert (delivery["state"], delivery["owner"], delivery["running"], delivery["rev"]) == ("open", None, None, 5)


async def test_without_being_asked_for_no_delivery_is_taken_over(real_store: EventStore) -> None:
    await fill(real_store, records())
    text = await text_of(real_store)
    await drop(real_store)
    await import_events(real_store, chunks(text))
    kept = [json.loads(one) for one in (await text_of(real_store)).splitlines()]
    assert not any("delivery" in one for one in kept)


@pytest.mark.parametrize(
    "document",
    [
        {"event_id": "a", "timestamp": AT},
        {"event_id": "a", "event_type": "t", "timestamp": "yesterday"},
        {"event_id": "a", "event_type": "t", "timestamp": AT, "payload": [1]},
        {"event_id": "a", "event_type": "t", "timestamp": AT, "payload": {"a": float("nan")}},
        {"event_id": "a", "event_type": "t", "timestamp": AT, "payload": {"a": {"$oid": "x"}}},
    ],
)
async def test_the_records_that_do_not_come_back_are_named(real_store: EventStore, document: dict[str, Any]) -> None:
    await fill(real_store, [document])
    text = await text_of(real_store)
    await drop(real_store)
    refused_lines = RefusedLines()
    imported = await import_events(real_store, chunks(text), observer=refused_lines)
    assert (imported.stored, imported.bad) == (0, 1)
    assert refused_lines.lines[0].text.encode() + b"\n" == text


# ------------------------------------------------------------------ import


async def test_bad_lines_are_told_by_number_and_the_rest_goes_on(store: EventStore) -> None:
    refused_lines = RefusedLines()
    data = line(1) + b"\n\nnonsense\n" + line(2) + line(3, event_id="") + line(4)[:-9]
    imported = await import_events(store, chunks(data), observer=refused_lines)
    assert (imported.stored, imported.bad, imported.lines) == (2, 3, 5)
    assert [one.line for one in refused_lines.lines] == [4, 6, 7]
    assert "may have been cut off" in refused_lines.lines[-1].error
    assert [one.event_id for one in await store.replay()] == ["e000001", "e000002"]


async def test_another_event_under_the_same_id_is_a_conflict_that_is_named(store: EventStore) -> None:
    refused_lines = RefusedLines()
    data = line(1) + line(1) + line(1, payload={"a": 1}) + line(1, timestamp="2020-01-31T10:00:00Z")
    imported = await import_events(store, chunks(data), observer=refused_lines)
    assert (imported.stored, imported.present, imported.conflicts) == (1, 2, 1)
    (refused,) = refused_lines.lines
    assert (refused.line, refused.event_id, refused.is_conflict) == (3, "e000001", True)
    assert (await store.replay())[0].payload == {}


async def test_a_dry_run_tells_what_would_be_stored_and_writes_nothing(real_store: EventStore) -> None:
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


async def test_what_the_server_refuses_is_a_bad_line(real_store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
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
    """The embedded server refuses a write with a date past the year 9999 in it as a whole; MongoDB takes it."""
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


async def test_a_file_that_is_not_there_is_refused_before_the_log_is_asked(tmp_path: Path) -> None:
    store = EventStore(uri="mongodb://127.0.0.1:1/")
    with pytest.raises(InvalidSetting):
        await import_events(store, tmp_path / "nothing")
    with pytest.raises(InvalidSetting):
        await publish_lines(store, tmp_path)


# ------------------------------------------------------------------ export


async def test_a_selection_is_exported_in_order(real_store: EventStore, tmp_path: Path) -> None:
    await real_store.append_many([event(number, tenant_id=("acme", "globex")[number % 2]) for number in range(10)])
    file = tmp_path / "acme.ndjson"
    exported = await export_file(real_store, file, Selection(tenants=("acme",), limit=3))
    assert exported.events == 3
    assert [json.loads(one)["event_id"] for one in file.read_text().splitlines()] == ["e000000", "e000002", "e000004"]


async def test_a_file_that_is_there_is_never_written_over_unasked(real_store: EventStore, tmp_path: Path) -> None:
    file = tmp_path / "events.ndjson"
    file.write_text("precious")
    with pytest.raises(InvalidSetting, match="exists already"):
        await export_file(real_store, file)
    assert file.read_text() == "precious"
    await export_file(real_store, file, force=True)
    assert file.read_text() == ""


async def test_a_file_has_its_name_when_it_is_complete_and_not_before(
    real_store: EventStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await real_store.append(event(1))
    file, seen = tmp_path / "events.ndjson", []

    def look(notice: ExportNotice) -> None:
        if isinstance(notice, ExportBlock):
            seen.extend(os.listdir(tmp_path))

    await export_file(real_store, file, observer=look)
    assert seen == ["events.ndjson.part"]
    assert os.listdir(tmp_path) == ["events.ndjson"]

    def fail(notice: ExportNotice) -> None:
        if isinstance(notice, ExportBlock):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await export_file(real_store, tmp_path / "other.ndjson", observer=fail)
    assert os.listdir(tmp_path) == ["events.ndjson"]


async def test_a_gzip_file_of_nothing_is_one(real_store: EventStore, tmp_path: Path) -> None:
    file = tmp_path / "events.ndjson.gz"
    await export_file(real_store, file)
    assert gzip.decompress(file.read_bytes()) == b""
    assert (await import_events(real_store, file)).lines == 0


async def test_a_full_disk_is_told(real_store: EventStore) -> None:
    await real_store.append(event(1))
    with pytest.raises(EventsError, match="/dev/full cannot be written: no space left on device"):
        await export_file(real_store, "/dev/full")


def made(path: Path, store: EventStore, file: Path, selection: Selection = export.EVERYTHING) -> Any:
    return export.checkpoint(path, store, file, selection, "relaxed")


@pytest.mark.parametrize("name", ["events.ndjson", "events.ndjson.gz"])
async def test_an_export_goes_on_where_it_was_killed(
    real_store: EventStore, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "KEPT_EVERY", 0.0)
    monkeypatch.setattr(export, "EXPORT_PAGE", 10)
    at_one_time = [event(number).model_copy(update={"timestamp": AT}) for number in range(25)]
    await real_store.append_many(at_one_time)
    file, kept = tmp_path / name, tmp_path / "checkpoint"

    written = 0

    def die(notice: ExportNotice) -> None:
        nonlocal written
        written += isinstance(notice, ExportBlock)
        if written == 2:  # the first is kept, the second is written and not kept
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await export_file(real_store, file, checkpoint=made(kept, real_store, file), observer=die)
    with file.open("ab") as torn:
        torn.write(b"half a line" * 1_000)
    exported = await export_file(real_store, file, checkpoint=made(kept, real_store, file))
    assert (exported.before, exported.events) == (10, 15)
    await real_store.append(event(5_000))
    assert (await export_file(real_store, file, checkpoint=made(kept, real_store, file))).events == 1
    data = file.read_bytes()
    text = gzip.decompress(data) if name.endswith(".gz") else data
    assert text == await text_of(real_store)
    assert text.count(b"\n") == 26


@pytest.mark.parametrize("has_file", [False, True])
async def test_an_export_that_was_killed_before_its_first_mark_begins_again(
    real_store: EventStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_file: bool
) -> None:
    await real_store.append(event(1))
    file, kept = tmp_path / "events.ndjson", tmp_path / "checkpoint"

    def die(notice: ExportNotice) -> None:
        if isinstance(notice, ExportBegan):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await export_file(real_store, file, checkpoint=made(kept, real_store, file), observer=die)
    assert file.exists()
    if not has_file:
        file.unlink()
    assert (await export_file(real_store, file, checkpoint=made(kept, real_store, file))).events == 1
    assert file.read_bytes() == await text_of(real_store)


async def test_malformed_records_are_exported_as_they_are_once(
    real_store: EventStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "KEPT_EVERY", 0.0)
    monkeypatch.setattr(export, "EXPORT_PAGE", 3)
    times = [AT, "yesterday"] * 5
    malformed = [{"_id": number, "event_type": "old", "timestamp": time} for number, time in enumerate(times)]
    await real_store.append_many([event(number).model_copy(update={"timestamp": AT}) for number in range(2)])
    await (await real_store.collection()).insert_many(malformed)
    file, kept = tmp_path / "events.ndjson", tmp_path / "checkpoint"

    def die(notice: ExportNotice) -> None:
        if isinstance(notice, ExportBlock) and kept.exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await export_file(real_store, file, checkpoint=made(kept, real_store, file), observer=die)
    for _ in range(2):
        await export_file(real_store, file, checkpoint=made(kept, real_store, file))
        assert file.read_bytes() == await text_of(real_store)
        assert file.read_text().count("\n") == 12


async def test_a_limit_counts_over_all_runs(real_store: EventStore, tmp_path: Path) -> None:
    await real_store.append_many([event(number) for number in range(10)])
    file, kept, most = tmp_path / "events.ndjson", tmp_path / "checkpoint", Selection(limit=4)
    for before, events in ((0, 4), (4, 0)):
        exported = await export_file(real_store, file, most, checkpoint=made(kept, real_store, file, most))
        assert (exported.before, exported.events) == (before, events)
    assert file.read_text().count("\n") == 4


async def test_a_checkpoint_goes_with_its_file_its_selection_and_forward(
    real_store: EventStore, tmp_path: Path
) -> None:
    await real_store.append(event(1))
    file, kept = tmp_path / "events.ndjson", tmp_path / "checkpoint"
    await export_file(real_store, file, checkpoint=made(kept, real_store, file))
    with pytest.raises(CheckpointError, match="tenant was"):
        await export_file(real_store, file, checkpoint=made(kept, real_store, file, Selection(tenants=("acme",))))
    other = tmp_path / "other.ndjson"
    with pytest.raises(CheckpointError, match="file was"):
        await export_file(real_store, other, checkpoint=made(kept, real_store, other))
    with pytest.raises(ValueError, match="forward in time"):
        made(kept, real_store, file, Selection(reverse=True))
    file.write_bytes(b"")
    with pytest.raises(CheckpointError, match="has 0 bytes, and had"):
        await export_file(real_store, file, checkpoint=made(kept, real_store, file))
    file.unlink()
    with pytest.raises(CheckpointError, match="is not there any more"):
        await export_file(real_store, file, checkpoint=made(kept, real_store, file))
    kept.write_text(json.dumps(json.loads(kept.read_text()) | {"position": {}}))
    with pytest.raises(CheckpointError, match="holds no position"):
        await export_file(real_store, file, checkpoint=made(kept, real_store, file))


async def test_an_event_that_cannot_be_said_exactly_is_named(real_store: EventStore, tmp_path: Path) -> None:
    await real_store.append(event(1, payload={"a": {"$oid": "mine"}}))
    exported = await export_file(real_store, tmp_path / "events.ndjson")
    assert (exported.ambiguous, exported.ambiguous_ids) == (1, ["e000001"])


async def test_an_export_goes_on_after_an_outage(real_store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "EXPORT_PAGE", 10)
    await real_store.append_many([event(number) for number in range(25)])
    fetch, pages = read.Scan._fetch, 0

    async def breaking(scan: read.Scan) -> read.Page:
        nonlocal pages
        pages += 1
        if 2 <= pages < 9:
            raise StoreUnavailable("away")
        return await fetch(scan)

    monkeypatch.setattr(outage, "RETRY_S", 0.0)
    monkeypatch.setattr(read.Scan, "_fetch", breaking)
    text = await text_of(real_store)
    assert [json.loads(one)["event_id"] for one in text.splitlines()] == [f"e{number:06}" for number in range(25)]


# ------------------------------------------------------------------ publish


async def test_an_event_without_handlers_named_is_untracked(real_store: EventStore) -> None:
    published = await publish_event(real_store, event(1))
    assert (published.is_new, published.state, dict(published.handlers)) == (True, "untracked", {})
    assert not (await publish_event(real_store, event(1))).is_new
    with pytest.raises(EventConflict):
        await publish_event(real_store, event(1, payload={"a": 1}))
    with pytest.raises(InvalidEvent):
        await publish_event(real_store, event(2, payload={"a": float("nan")}))


async def test_an_event_is_open_for_the_handlers_that_are_subscribed_and_none_runs(real_store: EventStore) -> None:
    with fresh_bus() as bus:
        ran: list[DomainEvent] = []
        bus.subscribe("order.*", ran.append, id="shop:mail")
        bus.subscribe("user.*", ran.append, id="shop:greet")
        published = await publish_event(real_store, event(1), bus=bus)
        assert (published.state, dict(published.handlers)) == ("open", {"shop:mail": "pending"})
        nobody = await publish_event(real_store, event(2, event_type="stock.counted"), bus=bus)
        assert (nobody.state, dict(nobody.handlers)) == ("done", {})
        await publish_event(real_store, event(3))
        again = await publish_event(real_store, event(3), bus=bus)
        assert (again.is_new, again.state) == (False, "open")
        stored = [json.loads(one) for one in (await text_of(real_store)).splitlines()]
        assert [one["delivery"]["state"] for one in stored] == ["open", "done", "open"]
        assert not ran


async def test_a_dispatch_runs_the_handlers_and_tells_what_failed(real_store: EventStore) -> None:
    def fail(_event: DomainEvent) -> None:
        raise RuntimeError("no paper")

    with fresh_bus() as bus:
        ran: list[DomainEvent] = []
        bus.subscribe("order.*", ran.append, id="shop:mail", background=True)
        bus.subscribe("order.broken", fail, id="shop:print")
        bus.configure_store(real_store)
        published = await publish_event(real_store, event(1, tenant_id=None), bus=bus, dispatch=True)
        assert (published.state, dict(published.handlers), dict(published.failed)) == (
            "done",
            {"shop:mail": "done"},
            {},
        )
        data = line(1) + line(2, event_type="order.broken") + line(1, payload={"a": 1}) + b"x"
        summary = await publish_lines(real_store, chunks(data), bus=bus, dispatch=True)
        assert (summary.stored, summary.present, summary.conflicts, summary.bad) == (1, 1, 1, 1)
        assert (summary.delivered, summary.failed, summary.open) == (1, 1, 0)
        broken = await publish_event(real_store, event(3, event_type="order.broken"), bus=bus, dispatch=True)
        assert dict(broken.failed) == {"shop:print": "RuntimeError: no paper"}
        again = await publish_event(real_store, event(3, event_type="order.broken"), bus=bus, dispatch=True)
        assert (again.is_new, again.state, dict(again.failed)) == (False, "open", {})  # it did not run again
        assert [one.event_id for one in ran] == ["e000001", "e000002", "e000003"]
        await bus.aclose()


async def test_lines_are_published_as_they_come(real_store: EventStore) -> None:
    seen: list[str] = []

    def note(notice: publish.PublishNotice) -> None:
        assert isinstance(notice, publish.PublishedEvent)
        seen.append(notice.event.event_id)

    async def slowly() -> AsyncIterator[bytes]:
        yield line(1) + line(2)[:10]
        assert seen == ["e000001"]
        yield line(2)[10:]
        assert seen == ["e000001", "e000002"]

    summary = await publish_lines(real_store, slowly(), observer=note)
    assert (summary.stored, summary.untracked) == (2, 2)


def test_to_dispatch_takes_a_bus() -> None:
    with pytest.raises(ValueError, match="needs a bus"):
        asyncio.run(publish_event(EventStore(uri="mongodb://127.0.0.1:1/"), event(1), dispatch=True))
