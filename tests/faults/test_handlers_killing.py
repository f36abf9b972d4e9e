"""Handlers that end their process, by a signal, an exit or an interrupt: real processes."""

from __future__ import annotations

import signal
from typing import Final

import pytest

from tests.faults.site import MODULE, Site, ended, entries

DEATHS: Final = 5


def test_a_handler_that_kills_its_process_every_time_is_dead_after_five_deaths_and_nothing_else_is(site: Site) -> None:
    before = site.fill("plain.made", 3)
    [deadly] = site.fill("deadly.made")
    after = site.fill("plain.made", 25)
    deaths = 0
    while (last := ended(site.redispatch(lease=1)))[0] == -signal.SIGKILL:
        deaths += 1
        assert deaths <= DEATHS, f"{deaths} deaths and still not dead"

    code, _, err = last
    left = site.delivery(deadly)
    handlers = entries(left)
    assert (code, deaths) == (3, DEATHS), err
    assert "1 dead" in err
    assert (left["state"], left["owner"], left["running"]) == ("dead", None, None)
    assert (handlers["kill"]["state"], handlers["kill"]["crashes"]) == ("dead", 3)
    assert handlers["kill"]["reason"] == "crashed"
    assert handlers["kill"]["attempts"] == 0
    for name in ("stow", "label", "announce"):
        assert (handlers[name]["state"], handlers[name]["crashes"]) == ("done", 0), name
    for event in before + after:
        assert site.delivery(event)["state"] == "done"
        assert {one["crashes"] for one in site.delivery(event)["handlers"]} == {0}
    ran = site.ran()
    assert ran.pop((deadly.event_id, "kill")) == DEATHS
    assert len(ran) == 3 * 29
    assert max(ran.values()) <= 3, "a neighbour repeats only deliveries in flight at the first deaths"


PUBLISHER: Final = f"""
import asyncio
from craft_easy.core.events import DomainEvent, get_event_bus
from craft_easy.core.events.store import EventStore
import {MODULE}

async def main():
    get_event_bus().configure_store(EventStore(), lease=1)
    await get_event_bus().publish(DomainEvent(event_type="interrupted.made", event_id="the one"))

asyncio.run(main())
"""


def test_a_keyboard_interrupt_in_a_handler_ends_its_publisher_and_counts_nothing(site: Site) -> None:
    code, _, err = ended(site.python("-c", PUBLISHER))

    [record] = site.records()
    left = entries(record["delivery"])
    assert (code, err.splitlines()[-1]) == (-signal.SIGINT, "KeyboardInterrupt")
    assert (record["delivery"]["state"], record["delivery"]["owner"]) == ("open", None)
    assert (left["interrupt"]["state"], left["interrupt"]["attempts"]) == ("pending", 0)
    assert left["interrupt"]["errors"] == []
    assert {left["stow"]["state"], left["label"]["state"]} == {"done"}, "deliveries that ended before are stored"
    assert site.workers() == [], "it left the registry, so its lease need not expire"


@pytest.mark.parametrize("takeovers", [0, 2])
def test_a_keyboard_interrupt_in_a_handler_ends_a_redispatch_and_counts_nothing(site: Site, takeovers: int) -> None:
    [event] = site.fill("interrupted.made")
    site.have_been_taken_over(takeovers)
    others = site.fill("plain.made", 3) if takeovers else site.fill("endless.made", 3)
    code, _, err = ended(site.redispatch())

    left = site.delivery(event)
    assert (code, "Traceback" in err) == (130, False), err
    assert (left["state"], left["owner"]) == ("open", None)
    assert (left["takeovers"], left["running"], left["handlers"][0]["crashes"]) == (takeovers, None, 0)
    assert (left["handlers"][0]["state"], left["handlers"][0]["attempts"]) == ("pending", 0)
    for other in others:
        assert site.delivery(other)["owner"] is None
        assert {one["attempts"] for one in site.delivery(other)["handlers"]} == {1 if takeovers else 0}
    assert site.workers() == []
