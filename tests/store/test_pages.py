"""History by pages, in both directions, with filters, and with a choice that lets few through."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from craft_easy.core.events.history import pages
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.types import DomainEvent

DRIVERS = (pytest.param("motor", marks=pytest.mark.drivers), "pymongo")
START = datetime(2026, 1, 31, 10, tzinfo=UTC)


async def filled(store: EventStore, number: int = 50) -> None:
    await store.append_many(
        [
            DomainEvent(
                event_type="order.placed",
                tenant_id="even" if n % 2 == 0 else "odd",
                timestamp=START + timedelta(hours=n // 3),
                payload={"number": n},
            )
            for n in range(number)
        ]
    )


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("tenants", [(), ("odd",)])
async def test_pages_hold_every_event_once_and_in_order(
    store: EventStore, reverse: bool, tenants: tuple[str, ...]
) -> None:
    await filled(store)
    selection = Selection(reverse=reverse, tenants=tenants)
    found: list[datetime] = []
    numbers: list[int] = []
    key = None
    for _ in range(20):
        page = await pages.page(store, selection, after=key, size=7)
        assert len(page.records) <= 2 * 7
        numbers += [one["payload"]["number"] for one in page.records]
        found += [one["timestamp"] for one in page.records]
        key = page.key
        if page.is_last:
            break
    assert sorted(numbers) == [n for n in range(50) if not tenants or n % 2]
    assert found == sorted(found, reverse=reverse)


async def test_the_window_of_a_selection_holds_for_pages_too(store: EventStore) -> None:
    await filled(store)
    selection = Selection(since=START + timedelta(hours=2), until=START + timedelta(hours=4), reverse=True)
    page = await pages.page(store, selection)
    assert sorted(one["payload"]["number"] for one in page.records) == [6, 7, 8, 9, 10, 11]
    assert page.is_last


async def test_a_choice_searches_a_bounded_number_and_goes_on_from_there(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "SEARCHED", 20)
    await filled(store)

    def wanted(one: pages.Record) -> bool:
        return bool(one["payload"]["number"] < 3)

    page = await pages.page(store, Selection(reverse=True), only=wanted, size=10)
    assert (len(page.records), page.is_last) == (0, False)
    assert 20 <= page.searched <= 30
    page = await pages.page(store, Selection(reverse=True), after=page.key, only=wanted, size=10)
    page = await pages.page(store, Selection(reverse=True), after=page.key, only=wanted, size=10)
    assert len(page.records) == 3
    assert page.is_last
