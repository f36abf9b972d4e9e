"""Imports and classes of one test module do not reach another."""

from craft_easy.core.events import get_event_bus
from craft_easy.core.events.model.event_class import class_of
from craft_easy.core.events.types import DomainEvent


def test_no_handler_of_the_demo_or_of_an_example_is_on_the_bus_of_the_process() -> None:
    ids = [one.handler.id for one in get_event_bus().subscriptions()]
    assert [one for one in ids if not one.startswith("tests.")] == []


def define_parcel_sent() -> None:
    class ParcelSent(DomainEvent):
        event_type: str = "isolation.parcel_sent"

    assert class_of("isolation.parcel_sent") is ParcelSent


def test_an_event_class_of_a_test_is_removed_after_it() -> None:
    define_parcel_sent()


def test_the_class_of_the_test_before_is_unknown_here() -> None:
    assert class_of("isolation.parcel_sent") is None
