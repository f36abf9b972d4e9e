"""The indexes of the log, compared with MongoDB's documentation."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo import IndexModel
from pymongo.errors import OperationFailure

from craft_easy.core.events.store import indexes
from craft_easy.core.events.store.indexes import INDEXES, Comparison, compare, missing

SPECIFICATIONS: list[dict[str, Any]] = [index.document for index in INDEXES]


def keys(index: Any) -> tuple[str, ...]:
    return tuple(index["key"])


def test_the_indexes_are_those_of_the_design() -> None:
    in_order = ("timestamp", "event_id")
    plain = [keys(one) for one in SPECIFICATIONS if "partialFilterExpression" not in one]
    assert plain == [("event_id",), ("event_type", *in_order), ("tenant_id", *in_order), in_order, ("correlation_id",)]
    assert SPECIFICATIONS[0]["unique"] is True
    assert SPECIFICATIONS[0]["sparse"] is True
    is_open = {"delivery.state": "open"}
    claims = ("delivery.handlers.id", "delivery.handlers.state", "delivery.owner", "delivery.due_at", "_id")
    assert [(keys(one), one["partialFilterExpression"]) for one in SPECIFICATIONS[5:]] == [
        (claims, is_open),
        ((*in_order, "tenant_id"), is_open),
        (("delivery.owner",), {**is_open, "delivery.owner": {"$gt": ""}}),
        ((*in_order, "_id"), {"delivery.handlers.state": "dead"}),
    ]


def test_no_two_indexes_have_the_same_keys() -> None:
    """Before MongoDB 5.0 two indexes could not differ by their filter only."""
    assert len({keys(one) for one in SPECIFICATIONS}) == len(SPECIFICATIONS)


def test_the_names_in_hints_are_those_of_indexes() -> None:
    names = {one["name"] for one in SPECIFICATIONS}
    assert {indexes.CLAIM_INDEX, indexes.OPEN_INDEX, indexes.OWNER_INDEX, indexes.DEAD_INDEX} <= names


def test_every_partial_filter_has_documented_operators_only() -> None:
    """MongoDB allows few operators there; mongomock and the embedded server accept more.

    https://www.mongodb.com/docs/manual/core/index-partial/#create-a-partial-index
    """
    for specification in SPECIFICATIONS:
        for field, value in specification.get("partialFilterExpression", {}).items():
            assert not field.startswith("$")
            assert isinstance(value, str) or list(value) == ["$gt"]


def test_indexes_of_version_1_are_distinguished_from_those_of_others() -> None:
    old = {"name": "x", "key": {"delivery.owner": 1, "delivery.due_at": 1}}
    old_filter = {"partialFilterExpression": {"delivery.state": "open"}}
    assert compare([*listed(), old]).foreign == ("x",)
    assert compare([*listed(), old | old_filter]) == Comparison((), (), (), former=("x",))


def test_no_index_is_both_sparse_and_partial() -> None:
    assert not any("partialFilterExpression" in one and "sparse" in one for one in SPECIFICATIONS)


def test_every_index_has_a_name_of_its_own_and_short_enough() -> None:
    names = [one["name"] for one in SPECIFICATIONS]
    assert len(set(names)) == len(names)
    assert max(map(len, names)) < 128


def listed(*, without: int | None = None) -> list[dict[str, Any]]:
    own = [{"name": "_id_", "key": {"_id": 1}}]
    return own + [dict(one) for number, one in enumerate(SPECIFICATIONS) if number != without]


def test_an_index_is_missing_until_one_of_its_shape_is_there() -> None:
    assert missing([]) == list(INDEXES)
    assert missing(listed()) == []
    for number, index in enumerate(INDEXES):
        assert missing(listed(without=number)) == [index]


def test_the_name_and_the_number_type_of_an_index_do_not_matter() -> None:
    renamed = [{**one, "name": f"i{number}", "v": 2} for number, one in enumerate(listed())]
    floats = [{**one, "key": {field: float(way) for field, way in one["key"].items()}} for one in renamed]
    assert missing(floats) == []
    assert missing([*listed(), {"key": {"place": "2dsphere"}}]) == []


def test_a_sharded_collection_gets_no_unique_index() -> None:
    loose = [{name: value for name, value in one.items() if name != "unique"} for one in listed()]
    assert missing(loose) == [INDEXES[0]]
    assert missing(loose, sharded=True) == []


class Collection:
    def __init__(self, code: int | None = None) -> None:
        self.code = code
        self.created: list[list[IndexModel]] = []

    async def create_indexes(self, wanted: list[IndexModel]) -> None:
        if self.code is not None and any(index.document.get("unique") for index in wanted):
            raise OperationFailure("no", self.code)
        self.created.append(wanted)


async def test_on_a_sharded_collection_the_unique_index_is_created_without_that() -> None:
    collection = Collection(code=67)
    await indexes.create(collection, INDEXES)  # type: ignore[arg-type]
    (created,) = collection.created
    assert [keys(index.document) for index in created] == [keys(one) for one in SPECIFICATIONS]
    assert not any(index.document.get("unique") for index in created)
    assert [index.document.get("partialFilterExpression") for index in created][5] == {"delivery.state": "open"}


async def test_another_refusal_of_an_index_is_raised() -> None:
    with pytest.raises(OperationFailure):
        await indexes.create(Collection(code=86), INDEXES)  # type: ignore[arg-type]


async def test_no_index_is_created_if_none_is_missing() -> None:
    collection = Collection()
    await indexes.create(collection, [])  # type: ignore[arg-type]
    assert collection.created == []


def test_existing_indexes_are_compared_with_required_ones() -> None:
    assert compare([]) == Comparison(tuple(one["name"] for one in SPECIFICATIONS), (), ())
    assert compare(listed()) == Comparison((), (), ())
    foreign = {"name": "mine", "key": {"payload.x": 1}}
    assert compare([*listed(), foreign]) == Comparison((), (), ("mine",))
    expiring = {"name": "ttl", "key": {"delivery.finished_at": 1}, "expireAfterSeconds": 60}
    assert compare([*listed(), expiring]) == Comparison((), (), ())


def test_an_index_of_the_same_keys_and_other_options_is_in_the_way_of_the_one_that_is_missing() -> None:
    loose = [{name: value for name, value in one.items() if name != "unique"} for one in listed()]
    assert compare(loose) == Comparison(("event_id_1",), ("event_id_1",), ())
    other: dict[str, Any] = {"name": "timestamp_1_event_id_1", "key": {"place": "2dsphere"}}
    assert compare([*listed(without=3), other]) == Comparison((other["name"],), (other["name"],), ())
    assert compare([*listed(), {**loose[1], "name": "old"}]) == Comparison((), (), ("old",))
    assert compare(loose, sharded=True) == Comparison((), (), ())
