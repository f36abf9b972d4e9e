"""Handlers that end late, never, or not on cancellation; and tasks that they leave behind."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator

import pytest

from craft_easy.core.events import DomainEvent
from craft_easy.core.events.handlers.context import CurrentDelivery, open_delivery
from tests.faults.engine import Engine, Way, engine, publishing
from tests.faults.site import Site, ended, entries
from tests.support.conditions import becomes, until

LEASE = 1.0


@pytest.fixture
async def short_lease_shop(embedded_uri: str, database_name: str) -> AsyncIterator[Engine]:
    """The same with a short lease."""
    async with engine(embedded_uri, database_name, lease=LEASE) as opened:
        yield opened


def placed() -> DomainEvent:
    return DomainEvent(event_type="order.placed")


async def test_handlers_that_never_return_fail_at_their_limit_and_the_others_continue(shop: Engine, way: Way) -> None:
    end = threading.Event()
    ran: list[str] = []

    async def hang(_: DomainEvent) -> None:
        await asyncio.Event().wait()

    def hang_in_a_thread(_: DomainEvent) -> None:
        end.wait()

    async def good(event: DomainEvent) -> None:
        ran.append(event.event_id)

    shop.bus.subscribe("*", hang, id="foreground", timeout=0.1)
    shop.bus.subscribe("*", hang, id="background", timeout=0.1, background=True)
    shop.bus.subscribe("*", hang_in_a_thread, id="thread", timeout=0.1, background=True)
    shop.bus.subscribe("*", good, id="good")
    try:
        await way(shop, event := placed())
    finally:
        end.set()

    after = await shop.delivery(event)
    assert ran == [event.event_id]
    assert (after.state, after.owner) == ("open", None)
    assert after.handlers[-1].state == "done"
    for entry in after.handlers[:-1]:
        assert (entry.state, entry.attempts) == ("pending", 1), entry.id
        assert [(error.type, error.message) for error in entry.errors] == [
            ("TimeoutError", "ran past its limit of 0.1 s")
        ]


async def test_a_publisher_waits_for_a_handler_that_swallows_its_cancellation_and_names_it(
    shop: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    cancelled, go = asyncio.Event(), asyncio.Event()
    ran: list[str] = []

    async def cling(_: DomainEvent) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            await go.wait()

    async def good(event: DomainEvent) -> None:
        ran.append(event.event_id)

    shop.bus.subscribe("*", cling, id="cling", timeout=0.05)
    shop.bus.subscribe("*", good, id="good")
    running = asyncio.create_task(publishing(shop, event := placed()))
    await cancelled.wait()
    await asyncio.wait([running], timeout=0.2)
    assert not running.done()
    assert (ran, (await shop.entry(event, "cling")).attempts) == ([], 0)
    go.set()
    await running

    entry = await shop.entry(event, "cling")
    assert ran == [event.event_id]
    assert (entry.state, entry.attempts, entry.errors[0].type) == ("pending", 1, "TimeoutError")
    assert "and kept running after it was cancelled" in caplog.text


def test_a_redispatch_ends_though_its_handlers_never_return(site: Site) -> None:
    endless = site.fill("endless.made", 2)
    others = site.fill("plain.made", 5)
    code, _, err = ended(site.redispatch("--timeout", "0.2"))

    assert code == 3, err
    for event in endless:
        left = site.delivery(event)
        assert (left["state"], left["owner"]) == ("open", None)
        assert [(one["state"], one["attempts"]) for one in left["handlers"]] == [("pending", 1)] * 2
        assert [one["errors"][0]["message"] for one in left["handlers"]] == ["ran past its limit of 0.2 s"] * 2
    assert {site.delivery(event)["state"] for event in others} == {"done"}, err


def test_a_redispatch_abandons_what_swallows_its_cancellation_and_ends_with_the_rest_delivered(site: Site) -> None:
    clinging = site.fill("clinging.made", 2)
    others = site.fill("plain.made", 30)
    code, _, err = ended(site.redispatch("--concurrency", "2"))

    assert code == 3, err
    assert "2  tests.faults.workshop:cling   TimeoutError: ran past its limit of 0.2 s, and kept running" in err
    for event in clinging:
        left = site.delivery(event)
        handlers = entries(left)
        assert (left["state"], left["owner"]) == ("open", None)
        assert (handlers["cling"]["state"], handlers["cling"]["attempts"]) == ("pending", 1)
        assert [error["type"] for error in handlers["cling"]["errors"]] == ["TimeoutError"]
        assert {handlers[name]["state"] for name in ("stow", "label", "announce")} == {"done"}
    assert {site.delivery(event)["state"] for event in others} == {"done"}, err
    assert max(site.ran().values()) == 1, "a delivery that had ended before the abandonment ran again"
    assert site.workers() == []


def test_a_redispatch_whose_loop_is_blocked_names_it_ends_by_itself_and_another_one_takes_over(site: Site) -> None:
    [blocking] = site.fill("blocking.made")
    others = site.fill("plain.made", 30)
    code, _, err = ended(site.redispatch(lease=1))
    assert code == 3, err
    assert "block' blocks the event loop for more than 1 s, at " in err
    assert "workshop.py:" in err
    assert "Traceback" not in err

    code, _, err = ended(site.redispatch())
    assert code == 0, err
    left = site.delivery(blocking)
    assert (left["state"], left["takeovers"], entries(left)["block"]["attempts"]) == ("done", 1, 1)
    assert {site.delivery(event)["state"] for event in others} == {"done"}, err
    assert site.workers()[0]["fenced"], "the worker that hung"


async def test_a_publisher_waits_for_a_handler_that_blocks_its_loop_and_names_it(
    short_lease_shop: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    def block(_: DomainEvent) -> None:
        until(lambda: "blocks the event loop" in caplog.text)

    short_lease_shop.bus.subscribe("*", block, id="block", timeout=0.5)
    with caplog.at_level(logging.ERROR):
        await publishing(short_lease_shop, event := placed())

    after = await short_lease_shop.delivery(event)
    assert "'block' blocks the event loop for more than 1 s, at " in caplog.text
    assert "conditions.py:" in caplog.text, "the line that blocks"
    assert (after.state, after.handlers[0].attempts) == ("done", 1)


async def test_a_publisher_that_was_taken_over_while_its_loop_was_blocked_changes_nothing_afterwards(
    short_lease_shop: Engine, embedded_uri: str, database_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[str] = []

    async def rescue() -> int:
        async with engine(embedded_uri, database_name, lease=LEASE) as other:
            other.bus.subscribe("*", lambda _: ran.append("rescuer"), id="block")
            other.bus.subscribe("*", lambda _: ran.append("rescuer's"), id="later")
            return (await other.redispatch()).done

    def block(_: DomainEvent) -> None:
        until(lambda: "blocks the event loop" in caplog.text)
        rescuer = threading.Thread(target=lambda: done.append(asyncio.run(rescue())))
        rescuer.start()
        rescuer.join(60)
        ran.append("publisher")

    done: list[int] = []
    short_lease_shop.bus.subscribe("*", block, id="block", timeout=0.5)
    short_lease_shop.bus.subscribe("*", lambda _: ran.append("publisher's"), id="later")
    await publishing(short_lease_shop, event := placed())

    after = await short_lease_shop.delivery(event)
    assert done == [2]
    assert ran == ["rescuer", "rescuer's", "publisher"], "the publisher no longer owns what it had not started"
    assert (after.state, after.owner, after.takeovers) == ("done", None, 1)
    assert [entry.attempts for entry in after.handlers] == [1, 1]


async def test_a_task_left_behind_by_a_handler_publishes_as_from_outside(shop: Engine, way: Way) -> None:
    go = asyncio.Event()
    left_behind: list[asyncio.Task[None]] = []
    seen: list[CurrentDelivery | None] = []
    children = {when: DomainEvent(event_type=f"child.{when}") for when in ("within", "later")}
    made_with = children["later"].event_id

    async def later() -> None:
        await go.wait()
        seen.append(open_delivery())
        await shop.bus.publish(children["later"])

    async def leave(_: DomainEvent) -> None:
        await shop.bus.publish(children["within"])
        seen.append(open_delivery())
        left_behind.append(asyncio.create_task(later()))

    shop.bus.subscribe("order.*", leave, id="leave", background=True)
    await way(shop, event := placed())
    assert (await shop.delivery(event)).state == "done"
    go.set()
    await becomes(lambda: left_behind[0].done())
    left_behind[0].result()

    [within] = await shop.records({"event_type": "child.within"})
    [outside] = await shop.records({"event_type": "child.later"})
    assert seen[0] is not None
    assert within["causation_id"] == event.event_id
    assert within["event_id"] != children["within"].event_id, "the id is derived"
    assert seen[1] is None
    assert outside["event_id"] == made_with
    assert {"causation_id", "correlation_id"}.isdisjoint(outside)
