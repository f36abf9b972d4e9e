"""Two services on one log: the backlog of one keeps no event of the other waiting, and neither runs the other's."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import AsyncIterator
from typing import Final

import pytest

from craft_easy.core.events import DomainEvent
from craft_easy.core.events.clock import steady
from tests.faults.engine import Engine, engine
from tests.faults.test_fairness import Quick, backlog, watching
from tests.support.conditions import becomes

DELIVERED_S: Final = 2.0
"""Seconds from an event's insert to its handler, at the median."""


@pytest.fixture
async def billing(embedded_uri: str, database_name: str) -> AsyncIterator[Engine]:
    async with engine(embedded_uri, database_name) as opened:
        yield opened


@pytest.fixture
async def mail(embedded_uri: str, database_name: str) -> AsyncIterator[Engine]:
    async with engine(f"{embedded_uri}&appName=mail", database_name) as opened:
        yield opened


@pytest.mark.parametrize("number", [5_000, pytest.param(100_000, marks=[pytest.mark.proof, pytest.mark.timeout(1200)])])
async def test_the_backlog_of_another_service_keeps_no_event_waiting(
    billing: Engine, mail: Engine, number: int
) -> None:
    sent = Quick()
    billing.bus.subscribe("billing.*", lambda _: None, id="billing:charge")
    mail.bus.subscribe("quick.*", sent, id="mail:send")
    mail.bus.subscribe("mail.*", lambda _: None, id="mail:archive")
    await backlog(billing, "billing.made", number)
    async with watching(mail):
        await sent.insert(mail, 20, pause=0.3)
    assert statistics.median(sent.waited) < DELIVERED_S
    left = await billing.records({"event_type": "billing.made", "delivery.rev": {"$gt": 0}})
    assert left == [], "no record of the other service was claimed"


async def test_two_services_with_one_handler_id_never_run_each_others_events(billing: Engine, mail: Engine) -> None:
    ran: dict[str, Counter[str]] = {"billing": Counter(), "mail": Counter()}
    events = {name: [DomainEvent(event_type=f"{name}.made", payload={"n": n}) for n in range(200)] for name in ran}
    for name, service in (("billing", billing), ("mail", mail)):
        service.bus.subscribe(
            f"{name}.*", lambda event, to=ran[name]: to.update([event.event_id]), id="app.main:on_event"
        )
        await service.append_alike(events[name])
    async with watching(billing), watching(mail):
        await becomes(lambda: all(len(one) >= 200 for one in ran.values()), seconds=60)
    for name, runs in ran.items():
        assert runs == Counter(event.event_id for event in events[name])
    assert {record["delivery"]["state"] for record in await mail.records()} == {"done"}


async def test_an_event_of_the_other_service_alone_stays_open_and_unowned(billing: Engine, mail: Engine) -> None:
    ran: list[str] = []
    for name, service in (("billing", billing), ("mail", mail)):
        service.bus.subscribe(f"{name}.*", lambda event: ran.append(event.event_type), id="app.main:on_event")
    theirs, ours = DomainEvent(event_type="billing.made"), DomainEvent(event_type="mail.made")
    await billing.append(theirs)
    began = steady()
    async with watching(mail):
        await mail.append(ours)
        await becomes(lambda: bool(ran), seconds=30)
        await becomes(lambda: steady() > began + 3, seconds=10)
    left = await mail.delivery(theirs)
    assert ran == ["mail.made"]
    assert (left.state, left.owner, left.rev, left.handlers[0].attempts) == ("open", None, 0, 0)
