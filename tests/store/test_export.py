"""Export of events to lines and files, with and without a checkpoint."""

from __future__ import annotations

import gzip
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from craft_easy.core.events.checkpoint import Checkpoint
from craft_easy.core.events.engine import outage
from craft_easy.core.events.errors import CheckpointError, EventsError, InvalidSetting, StoreUnavailable
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.operations import export
from craft_easy.core.events.operations.export import ExportBegan, ExportBlock, ExportNotice, export_file
from craft_easy.core.events.operations.import_ import import_events
from craft_easy.core.events.store import EventStore, read
from tests.store.transfers import AT, event, text_of

# ------------------------------------------------------------------ export


async def test_a_selection_is_exported_in_order(real_store: EventStore, tmp_path: Path) -> None:
    await real_store.append_many([event(number, tenant_id=("acme", "globex")[number % 2]) for number in range(10)])
    file = tmp_path / "acme.ndjson"
    exported = await export_file(real_store, file, Selection(tenants=("acme",), limit=3))
    assert exported.events == 3
    assert [json.loads(one)["event_id"] for one in file.read_text().splitlines()] == ["e000000", "e000002", "e000004"]


async def test_an_existing_file_is_not_overwritten_by_default(real_store: EventStore, tmp_path: Path) -> None:
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


async def test_a_full_disk_is_reported(real_store: EventStore) -> None:
    await real_store.append(event(1))
    with pytest.raises(EventsError, match="/dev/full cannot be written: no space left on device"):
        await export_file(real_store, "/dev/full")


def made(path: Path, store: EventStore, file: Path, selection: Selection = export.EVERYTHING) -> Any:
    return export.checkpoint(path, store, file, selection, "relaxed")


@pytest.mark.parametrize("name", ["events.ndjson", "events.ndjson.gz"])
async def test_an_export_continues_where_it_was_killed(
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
        if written == 2:  # the first is stored in the checkpoint, the second is not
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
    with pytest.raises(CheckpointError, match="no longer exists"):
        await export_file(real_store, file, checkpoint=made(kept, real_store, file))
    kept.write_text(json.dumps(json.loads(kept.read_text()) | {"position": {}}))
    with pytest.raises(CheckpointError, match="holds no position"):
        await export_file(real_store, file, checkpoint=made(kept, real_store, file))


async def test_an_event_that_cannot_be_exported_exactly_is_named(real_store: EventStore, tmp_path: Path) -> None:
    await real_store.append(event(1, payload={"a": {"$oid": "mine"}}))
    exported = await export_file(real_store, tmp_path / "events.ndjson")
    assert (exported.ambiguous, exported.ambiguous_ids) == (1, ["e000001"])


async def test_no_more_than_some_of_the_events_that_cannot_be_exported_exactly_are_remembered(
    real_store: EventStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "EXPORT_PAGE", 4)
    await real_store.append_many([event(number, payload={"a": {"$oid": "mine"}}) for number in range(12)])
    exported = await export_file(real_store, tmp_path / "events.ndjson")
    assert (exported.ambiguous, exported.ambiguous_ids) == (12, [f"e{number:06}" for number in range(10)])


async def test_no_checkpoint_is_written_on_the_loop_of_an_export(
    real_store: EventStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, on_loop = Checkpoint.write, []

    def note(checkpoint: Checkpoint, position: Mapping[str, Any]) -> None:
        on_loop.append(threading.current_thread() is threading.main_thread())
        write(checkpoint, position)

    monkeypatch.setattr(export, "KEPT_EVERY", 0.0)
    monkeypatch.setattr(export, "EXPORT_PAGE", 2)
    await real_store.append_many([event(number) for number in range(5)])
    file = tmp_path / "events.ndjson"
    kept = made(tmp_path / "checkpoint", real_store, file)
    monkeypatch.setattr(Checkpoint, "write", note)
    await export_file(real_store, file, checkpoint=kept)
    assert on_loop[:1] == [True], "the first is written before the export begins"
    assert len(on_loop) > 3
    assert not any(on_loop[1:])


async def test_an_export_continues_after_an_outage(real_store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
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
