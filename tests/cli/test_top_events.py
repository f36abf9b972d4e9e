"""The events of the console: live, filtered, paused, by pages; one event; its trace."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from craft_easy.core.events.errors import StoreUnavailable
from craft_easy.core.events.history.endings import Ending
from craft_events_cli.top import event_rows, events
from craft_events_cli.top.event_list import EventList
from tests.cli.conftest import Golden
from tests.support.console_log import ConsoleLog, many
from tests.support.consoles import Console, console
from tests.support.history import HISTORY, HOSTILE, delivery, record

pytestmark = pytest.mark.waiting

CONTROL = ("\x1b", "\x07", "\x7f", "\x9b", "\u202e", "\u2028")


def listing(top: Console) -> EventList:
    return top.app.screen.query_one(EventList)


@pytest.mark.parametrize(
    "width", [80, pytest.param(120, marks=pytest.mark.slow), pytest.param(200, marks=pytest.mark.slow)]
)
async def test_the_events_look_like_this(golden: Golden, width: int) -> None:
    async with console(ConsoleLog(), width=width, height=14) as top:
        await top.press("2")
        golden(f"top-events-{width}", await top.shows("8 events") + "\n")


@pytest.mark.parametrize("width", [80, pytest.param(120, marks=pytest.mark.slow)])
async def test_an_event_and_its_trace_look_like_this(golden: Golden, width: int) -> None:
    async with console(ConsoleLog(), width=width, height=22) as top:
        await top.press("2")
        await top.shows("8 events")
        await top.press("enter")
        shown = [await top.shows("SMTPError", '"payment_id"')]
        await top.press("escape")
        await top.shows("8 events")
        await top.press(*["up"] * 6, "enter", "t")
        shown.append(await top.shows("stock.reserved", "2 events"))
        golden(f"top-event-{width}", f"\n{'═' * width}\n".join(shown) + "\n")


@pytest.mark.slow
async def test_hostile_text_is_shown_as_escapes_everywhere() -> None:
    async with console(ConsoleLog(), width=200) as top:
        await top.press("2")
        text = await top.shows("8 events")
        await top.press("up", "up", "enter")
        text += await top.shows(r"\u202e", '": "')
        await top.press("escape", "home", "t")
    assert not any(sign in text for sign in CONTROL)
    assert text.count("[red]x[/bold]") >= 5


async def test_a_new_event_is_followed_until_the_cursor_goes_up_and_end_goes_on() -> None:
    log = ConsoleLog()
    async with console(log) as top:
        await top.press("2")
        await top.shows("live · 8 events")
        log.stream(record(20, payload={"order_id": "o_20"}))
        await top.shows("o_20", "live · 9 events")
        await top.press("up")
        log.stream(record(21, payload={"order_id": "o_21"}))
        await top.shows("paused, End goes on · 2 newer · 10 events")
        assert listing(top).cursor == 7
        await top.press("end")
        await top.shows("live · 10 events")
        assert listing(top).cursor == 9


@pytest.mark.slow
async def test_the_state_of_an_event_follows_its_deliveries() -> None:
    log = ConsoleLog([record(1, delivery=delivery("open"))])
    ended = Ending(log.records[0]["event_id"], "t", None, "h", "dead", 3, None, None, None, datetime.now(UTC), "dead")
    async with console(log) as top:
        await top.press("2")
        await top.shows("▌·")
        log.stream(endings=[ended])
        await top.shows("▌✗")


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("tenant:globex", "order.placed"),
        pytest.param("o_none", "0 events", marks=pytest.mark.slow),
        pytest.param("state:dead", "1 event", marks=pytest.mark.slow),
        pytest.param("double", "reason=", marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
async def test_a_filter_chooses_by_tenant_state_and_text(typed: str, shown: str) -> None:
    log = ConsoleLog()
    async with console(log) as top:
        await top.press("2")
        await top.shows("8 events")
        await top.press("slash")
        await top.type(typed)
        await top.press("enter")
        await top.shows(f"filter {typed}", shown)
        assert len(listing(top).window.rows) < 2


@pytest.mark.slow
async def test_a_filter_that_cannot_be_read_is_refused_and_escape_leaves_it() -> None:
    async with console(ConsoleLog()) as top:
        await top.press("2")
        await top.shows("8 events")
        await top.press("slash")
        await top.type("state:gone")
        await top.press("enter")
        await top.shows('the state "gone" does not exist')
        await top.press("escape")
        assert "8 events" in top.text()
        await top.press("up")
        assert listing(top).cursor == 6


@pytest.mark.slow
async def test_scrolling_back_reads_page_after_page_and_memory_is_bounded() -> None:
    log = ConsoleLog(many(5_000))
    async with console(log) as top:
        await top.press("2")
        await top.shows("live · 200 events")
        listing(top).window._most = 1_200
        seen = listing(top).window.rows[0].event_id
        await top.press("up", *["pageup"] * 10)
        await top.shows("700 events")
        assert listing(top).window.index(seen) is not None
        for _ in range(80):
            await top.press("pageup")
        await top.shows("1,200 events", "newer")
        assert len(listing(top).window.rows) == 1_200
        assert not listing(top).window.is_attached
        await top.press("home")
        await top.shows("number=0")
        await top.press("end")
        await top.shows("number=4999")
        assert listing(top).is_following


@pytest.mark.slow
async def test_the_wheel_pauses_and_a_double_click_opens() -> None:
    async with console(ConsoleLog(many(100))) as top:
        await top.press("2")
        await top.shows("live · 100 events")
        listing(top).scroll_to(y=40, animate=False, force=True)
        await top.shows("paused", "number=45")
        await top.click("EventList", (5, 3), times=2)
        await top.shows("event 019abf3e-0000-7000-8000-00000000002b")


@pytest.mark.slow
async def test_a_lost_connection_is_a_banner_until_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "RETRY", 0.01)
    log = ConsoleLog()
    async with console(log) as top:
        await top.press("2")
        await top.shows("8 events")
        log.break_off()
        text = await top.shows("these data are", "trying again: refused")
        assert not any(sign in text for sign in CONTROL)
        log.stream(record(30, payload={"back": 1}))
        await top.hides("trying again")
        log.break_off(StoreUnavailable("gone"))
        await top.hides("trying again")
        await top.shows("9 events")


@pytest.mark.slow
async def test_enter_in_a_trace_opens_the_event_and_escape_returns() -> None:
    async with console(ConsoleLog()) as top:
        await top.press("2")
        await top.shows("8 events")
        await top.press("home")
        await top.shows("8 events")
        await top.press("enter", "t")
        await top.shows("stock.reserved", "✗")
        await top.press("home", "enter")
        await top.shows('"payment_id": "p_1"')
        await top.press("escape")
        await top.shows("stock.reserved")
        await top.press("down", "enter")
        await top.hides("stock.reserved")


@pytest.mark.slow
async def test_an_event_that_is_not_in_the_log_is_said_to_be_so() -> None:
    async with console(ConsoleLog()) as top:
        top.app.open_event(f"nowhere{HOSTILE}")
        await top.shows("nowhere", "is not in the log")
        top.app.open_trace("nowhere")
        await top.shows("nowhere is not in the log")


@pytest.mark.slow
async def test_a_large_payload_is_cut_and_says_where_it_is_whole() -> None:
    huge: dict[str, Any] = {"items": list(range(5_000)), "note": "n" * 50_000}
    async with console(ConsoleLog([record(1, payload=huge)])) as top:
        await top.press("2")
        await top.shows("1 event")
        await top.press("enter")
        await top.shows("items")
        await top.press("end")
        await top.shows("whole: craft-events show 019abf3e", "-o json")


def test_the_window_keeps_places_while_rows_come_and_go_at_both_ends() -> None:
    rows = event_rows.rows_of(many(30))
    window = event_rows.RowWindow(most=10)
    window.replace(rows[10:15], has_older=True, is_attached=True)
    assert window.add_older(rows[5:10], has_older=True) == 5
    assert window.add_live(rows[15:18]) == 3
    assert [row.event_id for row in window.rows] == [row.event_id for row in rows[8:18]]
    assert window.add_older(rows[3:8], has_older=True) == 5
    assert not window.is_attached
    assert window.add_live(rows[18:20]) == 0
    assert window.missed == 2
    assert window.add_newer(rows[13:20]) == 7
    assert [window.index(row.event_id) for row in rows[10:20]] == list(range(10))
    assert window.update(rows[12].event_id, "dead")
    assert window.rows[2].state == "dead"
    assert not window.update(rows[0].event_id, "dead")


def test_a_malformed_record_has_no_row() -> None:
    assert event_rows.rows_of([HISTORY[8]]) == []
