import os
import subprocess
import sys
import uuid
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import ValidationError

from craft_easy.core.events.types import (
    DomainEvent,
    PaymentCompleted,
    ResourceCreated,
    ResourceDeleted,
    ResourceUpdated,
    UserRegistered,
)
from tests.support.events import payment
from tests.unit.event_samples import AT, NAIVE, Cached, Changed, Private, Shipped, Untyped, record_of, rich


class TestFields:
    def test_an_event_gets_an_id_of_version_7_and_a_time_in_whole_milliseconds(self) -> None:
        before = datetime.now(UTC) - timedelta(milliseconds=1)
        event = DomainEvent(event_type="a.b")

        assert uuid.UUID(event.event_id).version == 7
        assert str(uuid.UUID(event.event_id)) == event.event_id
        assert before <= event.timestamp <= datetime.now(UTC)
        assert event.timestamp.tzinfo is UTC
        assert event.timestamp.microsecond % 1000 == 0
        assert (event.tenant_id, event.actor_id, event.payload) == (None, None, {})

    def test_ids_made_one_after_another_differ_and_sort_in_that_order(self) -> None:
        ids = [DomainEvent(event_type="a.b").event_id for _ in range(1000)]

        assert ids == sorted(set(ids))

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    def test_a_forked_process_does_not_repeat_the_ids_of_its_parent(self) -> None:
        script = (
            "import os\nfrom craft_easy.core.events.model.event import new_event_id as new\nnew()\nif os.fork() == 0:\n"
            "    print(*[new()[-12:] for _ in range(9)], flush=True)\n    os._exit(0)\nos.wait()\n"
            "print(*[new()[-12:] for _ in range(9)])"
        )
        ids = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()

        assert len(set(ids)) == 18

    def test_an_aware_time_is_turned_to_utc_and_cut_to_milliseconds(self) -> None:
        there = datetime(2026, 1, 31, 12, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=2)))
        event = DomainEvent(event_type="a.b", timestamp=there)

        assert event.timestamp == datetime(2026, 1, 31, 10, 0, 0, 999_000, tzinfo=UTC)
        assert event.timestamp.tzinfo is UTC

    @pytest.mark.parametrize("moment", [NAIVE, datetime.min.replace(tzinfo=timezone(timedelta(hours=5))), "2026-01-31"])
    def test_a_naive_time_and_one_outside_of_utc_are_refused(self, moment: Any) -> None:
        with pytest.raises(ValidationError) as caught:
            DomainEvent(event_type="a.b", timestamp=moment)
        assert [error["loc"] for error in caught.value.errors()] == [("timestamp",)]

    @pytest.mark.parametrize("values", [{}, {"event_type": ""}, {"event_type": 5}])
    def test_an_event_needs_a_type(self, values: dict[str, Any]) -> None:
        with pytest.raises(ValidationError, match="event_type"):
            DomainEvent(**values)

    def test_a_class_without_a_type_requires_one_as_an_argument(self) -> None:
        assert Untyped(event_type="any", number=1).event_type == "any"
        with pytest.raises(ValidationError, match="must not be empty"):
            Untyped(event_type="", number=1)

    def test_an_empty_event_id_is_refused(self) -> None:
        with pytest.raises(ValidationError, match="event_id"):
            DomainEvent(event_type="a.b", event_id="")

    def test_an_event_is_frozen(self) -> None:
        with pytest.raises(ValidationError, match="frozen"):
            payment().amount = 2.0

    def test_the_six_fields_come_first_and_in_order(self) -> None:
        names = ["event_id", "event_type", "timestamp", "tenant_id", "actor_id", "payload"]

        assert list(DomainEvent.model_fields) == names
        assert list(payment().model_dump()) == [*names, "payment_id", "amount", "currency"]

    @pytest.mark.parametrize(
        ("event", "event_type", "payload"),
        [
            (ResourceCreated(resource="r", item_id="i"), "resource.created", {"resource": "r", "item_id": "i"}),
            (
                ResourceUpdated(resource="r", item_id="i", changes={"a": 1}),
                "resource.updated",
                {"resource": "r", "item_id": "i", "changes": {"a": 1}},
            ),
            (ResourceDeleted(resource="r", item_id="i"), "resource.deleted", {"resource": "r", "item_id": "i"}),
            (payment(), "payment.completed", {"payment_id": "p_1", "amount": 12.5, "currency": "EUR"}),
            (UserRegistered(user_id="u", email="e"), "user.registered", {"user_id": "u", "email": "e"}),
        ],
    )
    def test_the_types_of_the_package(self, event: DomainEvent, event_type: str, payload: dict[str, Any]) -> None:
        assert (event.event_type, event.payload) == (event_type, payload)
        assert type(DomainEvent.from_record(record_of(event))) is type(event)


class TestComparing:
    def test_events_compare_by_class_and_fields(self) -> None:
        event = payment()
        plain = DomainEvent.model_validate({name: getattr(event, name) for name in DomainEvent.model_fields})

        assert event == PaymentCompleted.model_validate(event.model_dump())
        assert event != payment()
        assert event != plain
        assert event != event.model_dump()
        assert Shipped(event_id="e", timestamp=AT) != DomainEvent(
            event_type="types.shipped", event_id="e", timestamp=AT
        )
        assert Changed[int](value=1, event_id="e", timestamp=AT) == Changed(value=1, event_id="e", timestamp=AT)

    def test_private_attributes_and_cached_properties_do_not_count(self) -> None:
        event, cached = Private(number=1), Cached(number=1)
        other, plain = event.model_copy(), cached.model_copy()
        other._seen = 5
        assert cached.ten_times == 10

        assert event == other
        assert cached == plain
        assert plain == cached

    def test_events_hash_by_their_id(self) -> None:
        event = payment()

        assert hash(event) == hash(event.event_id) == hash(event.model_copy(update={"tenant_id": "t"}))
        assert {event, event.model_copy()} == {event}
        assert hash(rich()) is not None


def test_importing_the_types_imports_no_driver() -> None:
    script = "import sys, craft_easy.core.events.types; print([m for m in sys.modules if m.split('.')[0] in %r])"
    names = ("bson", "motor", "pymongo", "rich", "typer")
    found = subprocess.run([sys.executable, "-c", script % (names,)], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "[]"
