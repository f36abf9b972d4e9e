"""The effect of `craft-events publish` on the log: events that are stored, left to a redispatch, or dispatched."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from craft_easy.core.events.errors import EventConflict, InvalidEvent
from craft_easy.core.events.operations import publish
from craft_easy.core.events.operations.publish import publish_event, publish_lines
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.testing import fresh_bus
from craft_easy.core.events.types import DomainEvent
from tests.store.transfers import chunks, event, line, text_of

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
        unhandled = await publish_event(real_store, event(2, event_type="stock.counted"), bus=bus)
        assert (unhandled.state, dict(unhandled.handlers)) == ("done", {})
        await publish_event(real_store, event(3))
        again = await publish_event(real_store, event(3), bus=bus)
        assert (again.is_new, again.state) == (False, "open")
        stored = [json.loads(one) for one in (await text_of(real_store)).splitlines()]
        assert [one["delivery"]["state"] for one in stored] == ["open", "done", "open"]
        assert not ran


async def test_a_dispatch_runs_the_handlers_and_reports_failures(real_store: EventStore) -> None:
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
