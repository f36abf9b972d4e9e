import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from craft_easy.core.events import DomainEvent, EventBus
from tests.unit.noting import Seen, event, notes


class FakePublisher:
    """Replaces the publisher, and records its calls."""

    def __init__(self, *noted: Any, **options: Any) -> None:
        self.options = options
        self.asked: list[tuple[str, Any]] = []

    async def publish(self, event: DomainEvent, plan: Any) -> None:
        self.asked.append(("publish", (event.event_type, len(plan.handlers))))

    async def publish_many(self, events: Sequence[DomainEvent], plans: Sequence[Any]) -> None:
        self.asked.append(
            ("publish_many", [(one.event_type, len(p.handlers)) for one, p in zip(events, plans, strict=True)])
        )

    async def flush(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the signature of the publisher
        self.asked.append(("flush", timeout))

    async def aclose(self) -> None:
        self.asked.append(("aclose", None))


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("craft_easy.core.events.engine.publisher.Publisher", FakePublisher)


STORE: Any = object()


async def test_with_a_store_publish_is_handed_to_the_publisher(bus: EventBus, seen: Seen, publisher: None) -> None:
    bus.subscribe("a", notes(seen, "never here"), id="h")
    bus.subscribe("a", notes(seen, "never here"), id="b", background=True)
    await bus.publish(event("untracked"))
    bus.configure_store(STORE, on_error="log", lease=3)
    await bus.publish(event("a"))
    await bus.publish(event("untracked"))
    await bus.publish_many([event("a"), event("b")])

    kept: Any = bus.publisher
    assert kept.asked == [
        ("publish", ("a", 2)),
        ("publish", ("untracked", 0)),
        ("publish_many", [("a", 2), ("b", 0)]),
    ]
    assert (kept.options["on_error"], kept.options["lease"]) == ("log", 3)
    assert kept.options["tasks"]() is bus.tasks()
    assert seen == []


async def test_drain_flushes_and_aclose_closes_every_publisher_there_was(bus: EventBus, publisher: None) -> None:
    bus.configure_store(STORE)
    first: Any = bus.publisher
    bus.configure_store(STORE)
    second: Any = bus.publisher
    async with bus:
        await bus.drain()
    assert first.asked == second.asked == [("flush", None), ("aclose", None)]
    await bus.aclose()
    assert len(first.asked) == 2
    assert bus.publisher is second


async def test_past_the_limit_publish_many_waits_before_anything_is_stored(
    bus: EventBus, seen: Seen, publisher: None
) -> None:
    go = asyncio.Event()
    bus.tasks()._limit = 1
    bus.tasks().start(go.wait())
    bus.subscribe("a", notes(seen, ""), id="b", background=True)
    bus.configure_store(STORE)
    kept: Any = bus.publisher
    waiting = [asyncio.create_task(bus.publish_many([event("a")])), asyncio.create_task(bus.publish(event("a")))]
    await asyncio.sleep(0)
    assert kept.asked == []
    go.set()
    await asyncio.gather(*waiting)
    assert len(kept.asked) == 2


async def test_a_time_out_of_the_store_is_not_drains_own(bus: EventBus, publisher: None) -> None:
    async def slow() -> None:
        raise TimeoutError("the store is slow")

    bus.configure_store(STORE)
    bus.publisher.flush = slow  # type: ignore[assignment,method-assign]
    with pytest.raises(TimeoutError, match="the store is slow"):
        await bus.drain(timeout=60)


async def test_without_a_store_there_is_no_publisher(bus: EventBus, publisher: None) -> None:
    bus.configure_store(STORE)
    bus.configure_store(None)
    with pytest.raises(RuntimeError, match="has no store"):
        _ = bus.publisher


@pytest.mark.parametrize("options", [{"on_error": "ignore"}, {"lease": 0}, {"lease": float("nan")}])
def test_a_store_cannot_be_configured_with_what_makes_no_sense(bus: EventBus, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"on_error|lease"):
        bus.configure_store(STORE, **options)
