"""What can be done in the console, on a real log: each key and each answer of its dialogs."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from craft_easy.core.events import EventBus, get_event_bus
from craft_easy.core.events.settings import Environment, Settings, resolve
from craft_easy.core.events.store import EventStore
from craft_events_cli import params
from craft_events_cli.acting import operator
from craft_events_cli.connection import log_name
from craft_events_cli.top.actions import ConsoleActions
from craft_events_cli.top.source import LogSource
from tests.support.applications import application
from tests.support.consoles import Console, console
from tests.support.dead_letters import CHARGE, CUT, GRAVEYARD, MAIL, states
from tests.support.history import Log

pytestmark = [pytest.mark.slow, pytest.mark.waiting]

SHOP = f"""
from craft_easy.core.events import event_handler
ran = []
@event_handler("*", id="{CHARGE}")
async def charge(event): ran.append(event.event_id)
@event_handler("*", id="{MAIL}")
def mail(event):
    import time
    time.sleep(1)
    ran.append(event.event_id)
"""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[EventBus]:
    """The handlers of the graveyard, of which one blocks its loop for a second."""
    with application(tmp_path, {"shop_of_top.py": SHOP}):
        sys.path.append(str(tmp_path))
        __import__("shop_of_top")
        yield get_event_bus()


@asynccontextmanager
async def opened(
    log: Log, bus: EventBus | None = None, *, environment: Environment | None = None, may_act: bool = True
) -> AsyncIterator[Console]:
    settings: Settings = replace(resolve({"uri": log.uri, "database": log.database}), environment=environment)
    async with EventStore(log.database, uri=log.uri) as store:
        actions = ConsoleActions(settings, store, bus) if may_act else None
        source = LogSource(store, params.Limiting())
        async with console(source, actions=actions, log_name=log_name(settings)) as top:
            yield top


@pytest.fixture(autouse=True)
def dead(log: Log) -> None:
    log.insert(*GRAVEYARD)


def handlers_of(log: Log, number: int) -> dict[str, Any]:
    found = log.events.find_one({"event_id": GRAVEYARD[number - 1]["event_id"]})
    return {one["id"]: one for one in found["delivery"]["handlers"]}


async def test_a_retry_names_the_log_and_the_count_defaults_to_no_and_moves_the_numbers(log: Log) -> None:
    async with opened(log) as top:
        await top.press("4")
        await top.shows("4 dead deliveries, by error", CHARGE)
        for keys in (["n"], ["escape"], ["enter"], ["left", "right", "enter"]):
            await top.press("r")
            await top.shows(f"{log.database}.event_log at", "2 deliveries of 2 events get a fresh budget", "No (n)")
            await top.press(*keys)
            await top.shows("nothing was done")
            await top.hides("No (n)")
        assert states(log, 1) == ["done", "dead"]
        await top.press("r")
        await top.shows("2 deliveries of 2 events")
        await top.press("y")
        await top.shows("2 deliveries of 2 events have a fresh budget", "2 dead deliveries, by error")
    assert states(log, 1) == ["done", "pending"]
    assert states(log, 2) == ["pending", "pending"]
    assert states(log, 3) == ["dead"], "another group"


async def test_a_discard_needs_a_reason_and_keeps_it_with_the_operator(log: Log) -> None:
    async with opened(log) as top:
        await top.press("4")
        await top.shows("4 dead deliveries", CHARGE)
        await top.press("enter")
        await top.shows("Error: shop.billing:charge · CardExpired · 2 dead deliveries")
        await top.press("d")
        await top.shows("1 delivery of 1 event is skipped", "Yes, discard")
        await top.press("space", "enter", "right", "enter")
        await top.shows("a discard needs a reason")
        assert states(log, 1) == ["done", "dead"]
        await top.type("paid [by] hand")
        await top.press("enter", "tab", "enter")
        await top.shows("1 delivery of 1 event is skipped", "CardExpired · 1 dead delivery")
    entry = handlers_of(log, 1)[CHARGE]
    assert (entry["state"], entry["reason"], entry["by"]) == ("skipped", "paid [by] hand", operator())


async def test_the_name_of_a_protected_environment_is_typed(log: Log) -> None:
    async with opened(log, environment=Environment("prod", "--env", is_protected=True)) as top:
        await top.press("4")
        await top.shows("4 dead deliveries", CHARGE)
        await top.press("r")
        await top.shows("prod is protected: type its name to go on")
        await top.press("y")
        await top.type("es")
        await top.press("enter", "right", "enter")
        await top.shows("that is not prod: nothing was done")
        assert states(log, 1) == ["done", "dead"]
        await top.press("backspace", "backspace", "backspace")
        await top.type("prod")
        await top.press("enter", "y")
        await top.shows("have a fresh budget")
    assert states(log, 1) == ["done", "pending"]


async def test_a_console_that_only_looks_refuses_every_action(log: Log, shop: EventBus) -> None:
    async with opened(log, shop, may_act=False) as top:
        await top.press("4")
        await top.shows("4 dead deliveries", CHARGE)
        assert not any(word in top.last_line() for word in ("Retry", "Discard", "Deliver"))
        await top.press("r", "d", "R", "enter")
        await top.shows("Error: shop.billing:charge")
        await top.press("r", "d", "R")
        await top.hides("No (n)")
    assert states(log, 1) == ["done", "dead"]


async def test_pending_deliveries_are_discarded_by_handler(log: Log) -> None:
    async with opened(log) as top:
        await top.press("3")
        await top.shows("2 pending deliveries, by error", "shop.legacy:sync")
        assert "Retry" not in top.last_line()
        await top.press("b", "b")
        await top.shows("2 pending deliveries, by type", "order.placed")
        await top.press("d")
        await top.shows("discarded by handler")
        await top.press("b", "b", "b")
        await top.shows("2 pending deliveries, by handler", "shop.legacy:sync")
        await top.press("d")
        await top.shows("1 delivery of 1 event is skipped", "Dead deliveries")
        await top.type("gone")
        await top.press("enter", "y")
        await top.shows("1 pending delivery, by handler")
    assert states(log, 5) == ["skipped"]


async def test_dead_deliveries_are_retried_and_delivered_at_once_by_the_handlers_that_are_loaded(
    log: Log, shop: EventBus
) -> None:
    async with opened(log, shop) as top:
        await top.press("4")
        await top.shows("4 dead deliveries", CHARGE)
        await top.press("R")
        await top.shows("2 deliveries of 2 events get a fresh budget and are delivered now")
        await top.press("y")
        await top.shows("2 events · 2 delivered", "2 dead deliveries, by error")
        await top.press("b", "b", "b")
        await top.shows("2 dead deliveries, by tenant", "globex")
    assert states(log, 1) == ["done", "done"]
    assert states(log, 2) == ["done", "pending"], "the other handler waits for its own time"
    assert {*sys.modules["shop_of_top"].ran} == {GRAVEYARD[0]["event_id"], GRAVEYARD[1]["event_id"]}


async def test_a_handler_that_is_not_loaded_is_not_delivered(log: Log, shop: EventBus) -> None:
    async with opened(log, shop) as top:
        await top.press("4")
        await top.shows("4 dead deliveries", CUT)
        await top.press("end", "R")
        await top.shows(f"{CUT} is not loaded")


async def test_a_handler_that_blocks_does_not_hold_the_screen(log: Log, shop: EventBus) -> None:
    async with opened(log, shop) as top:
        await top.press("3")
        await top.shows("2 pending deliveries", MAIL)
        await top.press("end", "R")
        await top.shows("1 delivery of 1 event is delivered now")
        await top.press("y")
        await top.shows("deliver …", "Escape stops it")
        loop = asyncio.get_running_loop()
        before = loop.time()
        await asyncio.sleep(0.05)
        assert loop.time() - before < 0.9, "the loop of the screen is not blocked"
        await top.shows("1 event · 1 delivered", "1 pending delivery")
    assert states(log, 2) == ["dead", "done"]


async def test_the_incident_is_walked_by_keys_alone(log: Log, shop: EventBus) -> None:
    """What is wrong, why, in which event; deliver it again; see that it helped."""
    async with opened(log, shop) as top:
        await top.shows("dead", "open")
        await top.press("4")
        await top.shows("4 dead deliveries, by error", "CardExpired", "SMTPServerDisconnected")
        await top.press("enter")
        await top.shows("2 dead deliveries")
        await top.press("enter")
        await top.shows(f"event {GRAVEYARD[0]['event_id']}", "dead after 20 attempts", "CardExpired: card of c_204")
        await top.press("escape")
        await top.shows("Error: shop.billing:charge")
        await top.press("R")
        await top.shows("1 delivery of 1 event gets a fresh budget and is delivered now")
        await top.press("y")
        await top.shows("1 event · 1 delivered", "CardExpired · 1 dead delivery")
        await top.press("escape", "r")
        await top.shows("1 delivery of 1 event gets a fresh budget")
        await top.press("y")
        await top.shows("2 dead deliveries, by error")
        await top.press("3")
        await top.shows("3 pending deliveries, by error")
    assert states(log, 1) == ["done", "done"]
    assert states(log, 2) == ["pending", "pending"]
