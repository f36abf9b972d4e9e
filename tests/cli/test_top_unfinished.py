"""The views of pending and of dead deliveries: groups, lists, pages; on a source in memory."""

from __future__ import annotations

import pytest

from craft_easy.core.events.errors import StoreUnavailable
from craft_events_cli.terminal import safe
from craft_events_cli.top.delivery_list import PAGE
from tests.cli.conftest import Golden
from tests.support.consoles import MemorySource, console, unfinished
from tests.support.history import HOSTILE

pytestmark = pytest.mark.waiting

SLOW = pytest.mark.slow
HUGE = [unfinished(number) for number in range(950)]


@pytest.mark.parametrize("width", [80, pytest.param(120, marks=SLOW), pytest.param(200, marks=SLOW)])
@pytest.mark.parametrize(("key", "state"), [("3", "pending"), ("4", "dead")])
async def test_the_groups_and_their_lists_look_like_this(golden: Golden, key: str, state: str, width: int) -> None:
    async with console(MemorySource(), width=width) as top:
        await top.press(key)
        shown = [await top.shows(f"{state} deliveries, by error")]
        await top.press("b")
        shown.append(await top.shows("deliveries, by handler", "shop.mail"))
        await top.press("enter")
        shown.append(await top.shows("Handler: shop."))
        golden(f"top-{state}-{width}", f"\n{'═' * width}\n".join(shown) + "\n")


@pytest.mark.slow
async def test_a_key_groups_by_error_handler_type_and_tenant_in_turn() -> None:
    async with console(MemorySource()) as top:
        await top.press("4")
        for by in ("error", "handler", "type", "tenant", "error"):
            await top.shows(f"5 dead deliveries, by {by}", "Deaths")
            await top.press("b")


@pytest.mark.slow
async def test_enter_opens_the_list_of_a_group_then_the_event_and_escape_returns() -> None:
    async with console(MemorySource()) as top:
        await top.press("4")
        await top.shows("shop.mail:send")
        await top.press("enter")
        await top.shows("Error: shop.billing:charge · CardExpired · 3 dead deliveries")
        await top.press("down", "enter")
        await top.shows("019abf3e-0000-7000-8000-000000000002")
        await top.press("escape")
        await top.shows("Error: shop.billing:charge")
        await top.press("escape")
        await top.shows("5 dead deliveries, by error")


@SLOW
async def test_a_filter_narrows_the_groups_and_a_text_is_refused() -> None:
    async with console(MemorySource()) as top:
        await top.press("4")
        await top.shows("5 dead")
        await top.press("slash")
        await top.type("tenant:acme")
        await top.press("enter")
        await top.shows("3 dead deliveries, by error · filter tenant:acme")
        await top.press("slash")
        await top.type("card")
        await top.press("enter")
        await top.shows("deliveries are filtered by tenant:, type: and actor:")


@SLOW
@pytest.mark.parametrize("key", ["3", "4"])
async def test_nothing_of_the_log_reaches_the_terminal_raw(key: str) -> None:
    async with console(MemorySource(), width=200) as top:
        await top.press(key)
        await top.shows("by error")
        for _ in range(4):
            text = await top.shows(safe(HOSTILE)[:20])
            assert all(line.isprintable() for line in text.splitlines())
            await top.press("b")
            await top.shows("deliveries, by")


@SLOW
async def test_a_hostile_group_is_listed_safely() -> None:
    async with console(MemorySource(unfinished=[unfinished(1, handler=HOSTILE, error_message=HOSTILE)])) as top:
        await top.press("4")
        await top.shows("1 dead delivery, by error")
        await top.press("enter")
        text = await top.shows("Died", safe(HOSTILE)[:20])
        assert all(line.isprintable() for line in text.splitlines())


@pytest.mark.slow
async def test_a_list_comes_by_pages_as_one_scrolls() -> None:
    source = MemorySource(unfinished=HUGE)
    async with console(source) as top:
        await top.press("4")
        await top.shows("950 dead deliveries, by error")
        await top.press("enter")
        await top.shows(f"{PAGE} dead deliveries so far, more below")
        assert source.read <= 2 * PAGE
        await top.press("end")
        await top.shows(f"{2 * PAGE} dead deliveries so far")
        for pages in (3, 4):
            await top.press("end")
            await top.shows(f"{pages * PAGE} dead deliveries so far")
        await top.press("end")
        await top.shows("950 dead deliveries")
        await top.hides("so far, more below")


@SLOW
async def test_an_outage_is_a_banner_and_the_groups_stay() -> None:
    source = MemorySource()
    async with console(source) as top:
        await top.press("4")
        await top.shows("5 dead deliveries")
        source.error = StoreUnavailable("db-1 does not answer")
        await top.shows("trying again: db-1 does not answer", "CardExpired")
        source.error = None
        await top.hides("trying again")


@SLOW
async def test_an_empty_log_says_so() -> None:
    async with console(MemorySource(unfinished=())) as top:
        await top.press("4")
        await top.shows("no dead deliveries, by error")
        await top.press("enter", "r", "d", "R")
        await top.shows("no dead deliveries, by error")
