"""The documents of a catalogue describe the events that are really stored, whatever their classes hold."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import bson
import jsonschema
import pytest
from pydantic import Field

from craft_easy.core.events import DomainEvent
from craft_easy.core.events.errors import InvalidSetting
from craft_easy.core.events.handlers.registry import Registry
from craft_easy.core.events.model import event_class
from craft_easy.core.events.model.schema.catalogue import changes
from craft_easy.core.events.operations.schema import asyncapi, baseline, markdown
from craft_easy.core.events.operations.schema.entries import CatalogueEntry, entries
from craft_easy.core.events.store.documents import new_record
from craft_easy.core.events.store.formats import event_json
from tests.unit.event_samples import EVENTS, Tree, rich

TYPED = [event for event in EVENTS if event_class.class_of(event.event_type) is type(event)]
each_typed_event = pytest.mark.parametrize("event", TYPED, ids=lambda event: type(event).__name__)


def catalogue(*types: str) -> list[CatalogueEntry]:
    registry = Registry()
    registry.subscribe("types.*", lambda _: None, id="shop:see")
    return entries(registry, types=types)


def document(*types: str) -> dict[str, Any]:
    return asyncapi.document(catalogue(*types), title="Shop", version="1.0.0")


def as_json(event: DomainEvent) -> dict[str, Any]:
    """Return an event as a consumer reads it, after its trip through BSON."""
    record = bson.decode(bson.encode(new_record(event), codec_options=event_json.CODEC), event_json.CODEC)
    line: dict[str, Any] = json.loads(event_json.line(record))
    return line


def references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        schema = list(schema.values())
    if isinstance(schema, list):
        for one in schema:
            yield from references(one)


@each_typed_event
def test_a_message_of_the_asyncapi_document_describes_the_event_as_it_is_read(event: DomainEvent) -> None:
    whole = document(event.event_type)
    (message,) = whole["components"]["messages"].values()
    schema = {**message["payload"], "components": whole["components"]}
    jsonschema.Draft7Validator(schema).validate(as_json(event))


def test_a_message_does_not_describe_other_events() -> None:
    whole = document("types.rich")
    schema = {**whole["components"]["messages"]["types.rich"]["payload"], "components": whole["components"]}
    validator = jsonschema.Draft7Validator(schema)
    good = as_json(rich())
    assert validator.is_valid(good)
    for name, value in {
        "day": 1,
        "price": "1.10",
        "ref": "a",
        "pair": ["a", 1],
        "moment": "2026-01-31",
        "line": {},
    }.items():
        assert not validator.is_valid({**good, "payload": {**good["payload"], name: value}}), name
    assert not validator.is_valid({**good, "event_type": "types.other"})


@each_typed_event
def test_a_catalogue_that_is_written_and_read_has_not_changed(event: DomainEvent, tmp_path: Path) -> None:
    found = catalogue(event.event_type)
    (tmp_path / "events.json").write_text(json.dumps(baseline.document(found)))
    assert changes(baseline.read(tmp_path / "events.json"), {one.event_type: one.schema for one in found}) == []


@each_typed_event
def test_the_stored_payload_has_the_fields_that_the_schema_requires(event: DomainEvent) -> None:
    (entry,) = catalogue(event.event_type)
    payload = new_record(event)["payload"]
    assert set(entry.schema.stored.get("required", ())) == set(payload) & set(entry.schema.stored["properties"])
    assert set(entry.schema.stored["properties"]) <= set(payload)


@each_typed_event
def test_the_schemas_of_a_payload_are_json_schemas(event: DomainEvent) -> None:
    (entry,) = catalogue(event.event_type)
    for schema in (entry.schema.stored, entry.schema.accepted):
        jsonschema.Draft202012Validator.check_schema(schema)


def test_a_limit_of_a_decimal_is_a_number() -> None:
    class Priced(DomainEvent):
        event_type: str = "schema.priced"
        price: Decimal = Field(ge=0, lt=Decimal("1e3"))

    (entry,) = catalogue("schema.priced")
    jsonschema.Draft202012Validator.check_schema(entry.schema.stored)
    price = entry.schema.stored["properties"]["price"]
    assert (price["minimum"], price["exclusiveMaximum"], price["bsonType"]) == (0, 1000, "decimal")


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    whole = document()
    assert len(whole["channels"]) >= len(TYPED)
    for reference in references(whole):
        place: Any = whole
        for key in reference.removeprefix("#/").split("/"):
            place = place[key]
        assert isinstance(place, dict)


def test_names_that_asyncapi_has_no_keys_for_get_keys_of_their_own() -> None:
    class Slashed(DomainEvent):
        event_type: str = "odd/{name}"

    class Colon(DomainEvent):
        event_type: str = "odd:{name}"

    whole = document("odd*")
    assert list(whole["channels"]) == ["odd__name_", "odd__name__2"]
    assert all(re.fullmatch(r"[\w.-]+", key) for part in whole["components"].values() for key in part)
    assert {message["name"] for message in whole["components"]["messages"].values()} == {"odd/{name}", "odd:{name}"}
    assert "address" not in whole["channels"]["odd__name_"]


def test_an_operation_names_its_handler_and_receives_the_type() -> None:
    operations = document("types.tree", "user.registered")["operations"]
    assert operations == {
        "shop_see.types.tree": {
            "action": "receive",
            "title": "shop:see",
            "channel": {"$ref": "#/channels/types.tree"},
            "messages": [{"$ref": "#/channels/types.tree/messages/types.tree"}],
        }
    }


def test_a_page_has_a_table_of_fields_and_no_html_of_its_own() -> None:
    class Written(DomainEvent):
        """A <script> in a docstring."""

        event_type: str = "schema.written"
        x: int = 1
        tree: Tree

    page = markdown.page(catalogue("schema.written"), title="Shop | <b>")
    assert "# Shop | &lt;b>\n\n## schema.written\n\nA &lt;script> in a docstring.\n" in page
    assert "| `x` | integer | no, default `1` |  |" in page
    assert "| `tree` | Tree | yes |  |" in page


def test_an_error_of_a_class_without_a_schema_names_the_class() -> None:
    from craft_easy.core.events.errors import HandlerModuleError

    class Unfinished(DomainEvent):
        event_type: str = "schema.unfinished"
        x: Missing  # type: ignore[name-defined]  # noqa: F821 - that is the point

    with pytest.raises(HandlerModuleError, match=r"defines .*Unfinished, which has no schema"):
        catalogue("schema.unfinished")


DEEP = '{"craft_events_schema": 1, "types": {"a": {"stored": ' + '{"items": ' * 400 + "{}" + "}" * 400 + "}}}"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "is not a catalogue of events"),
        ('{"craft_events_schema": 1, "types": []}', "is not a catalogue of events"),
        ('{"craft_events_schema": 2}', "has version 2, and this program reads 1"),
        ('{"craft_events_schema": 1, "types": {"a": 1}}', "has no valid schema for a"),
        (DEEP, "has no valid schema for a"),
    ],
    ids=lambda text: text[:30],
)
def test_a_file_that_is_no_catalogue_is_refused(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "events.json").write_text(content)
    with pytest.raises(InvalidSetting) as raised:
        baseline.read(tmp_path / "events.json")
    assert raised.value.reason == reason
