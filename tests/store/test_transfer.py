"""Export and import over a real log: the same bytes, nothing overwritten, nothing lost."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from craft_easy.core.events.model.delivery import Delivery
from craft_easy.core.events.operations import export
from craft_easy.core.events.operations.export import export_file
from craft_easy.core.events.operations.import_ import import_events
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.store.documents import new_record, to_document
from tests.store.transfers import AT, RefusedLines, chunks, drop, event, fill, records, text_of

# ------------------------------------------------------------------ round trips


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


async def test_an_owned_record_is_open_and_unowned_after_an_import(real_store: EventStore) -> None:
    owned = replace(Delivery.new(["shop:mail"], at=AT, owner="host:1:ab"), running="shop:mail", rev=4)
    await fill(real_store, [new_record(event(1), to_document(owned))])
    text = await text_of(real_store)
    await drop(real_store)
    await import_events(real_store, chunks(text), with_delivery=True)
    delivery = json.loads(await text_of(real_store))["delivery"]
    assert (delivery["state"], delivery["owner"], delivery["running"], delivery["rev"]) == ("open", None, None, 5)


async def test_without_the_option_no_delivery_is_imported(real_store: EventStore) -> None:
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
