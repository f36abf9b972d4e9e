"""The overview of the console: tiles, the last hour, sorted tables, banners, an outage."""

from __future__ import annotations

import pytest

from craft_easy.core.events.errors import StoreUnavailable
from craft_events_cli.top import polling
from tests.cli.conftest import Golden
from tests.support.console_log import ConsoleLog, figures
from tests.support.consoles import console
from tests.support.history import HOSTILE

pytestmark = pytest.mark.waiting


@pytest.mark.parametrize(
    "width", [80, pytest.param(120, marks=pytest.mark.slow), pytest.param(200, marks=pytest.mark.slow)]
)
async def test_the_overview_looks_like_this(golden: Golden, width: int) -> None:
    async with console(ConsoleLog(), width=width, height=30) as top:
        golden(f"top-overview-{width}", await top.shows("1,241", "figures every second") + "\n")


async def test_nothing_of_the_log_reaches_the_terminal_raw() -> None:
    async with console(ConsoleLog(), width=200) as top:
        text = await top.shows("1,241", "silent")
    assert not any(sign in text for sign in ("\x1b", "\x07", "\x7f", "\x9b", "\u202e", "\u2028"))
    assert text.count(r"\x1b[31mred") == 2
    assert "[red]x[/bold]" in text


@pytest.mark.slow
async def test_a_banner_names_what_is_due_while_no_worker_is_alive() -> None:
    async with console(ConsoleLog(counted=figures(workers=0))) as top:
        await top.shows("! 1,211 due · no worker is alive")
    async with console(ConsoleLog(counted=figures(workers=1))) as top:
        await top.shows("1,241")
        assert "no worker is alive" not in top.text()


@pytest.mark.slow
async def test_a_key_sorts_a_table_by_each_column_and_another_turns_the_order_around() -> None:
    async with console(ConsoleLog()) as top:
        await top.shows("shop.mail")
        assert order(top.text()) == ["shop.mail", "shop.billing", r"\x1b"]
        await top.press("s")
        assert order(top.text()) == [r"\x1b", "shop.billing", "shop.mail"]
        assert "Handler ▲" in top.text()
        await top.press("S")
        assert order(top.text()) == ["shop.mail", "shop.billing", r"\x1b"]
        await top.press("s", "s", "s")
        assert "Dead ▼" in top.text()
        assert order(top.text()) == ["shop.billing", "shop.mail", r"\x1b"]


@pytest.mark.slow
async def test_a_click_on_a_header_sorts_and_the_cursor_stays_with_its_row() -> None:
    async with console(ConsoleLog()) as top:
        await top.shows("shop.mail")
        table = top.app.screen.query_one("#handlers")
        await top.press("down")
        assert table.chosen == "shop.billing:charge"  # type: ignore[attr-defined]  # a SortedTable
        await top.click("#handlers", (2, 0))
        assert order(top.text()) == [r"\x1b", "shop.billing", "shop.mail"]
        assert table.chosen == "shop.billing:charge"  # type: ignore[attr-defined]  # the same
        await top.click("#handlers", (2, 0))
        assert order(top.text())[0] == "shop.mail"
        assert table.chosen == "shop.billing:charge"  # type: ignore[attr-defined]  # the same


@pytest.mark.slow
async def test_an_outage_is_a_banner_with_the_age_of_the_data_and_ends_by_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(polling, "ROUND", 0.05)
    log = ConsoleLog()
    async with console(log) as top:
        await top.shows("1,241")
        log.counted = StoreUnavailable(f"no server answers {HOSTILE}")
        text = await top.shows("these data are", "old, trying again: no server answers")
        assert "1,241" in text
        assert "\x1b" not in text
        log.counted = figures(open=7, owned=0, waiting=0)
        await top.hides("trying again")
        await top.shows("7")


@pytest.mark.slow
async def test_a_filter_narrows_the_figures() -> None:
    log = ConsoleLog()
    async with console(log) as top:
        await top.shows("1,241")
        await top.press("slash")
        await top.type("tenant:globex")
        await top.press("enter")
        await top.shows("filter tenant:globex")
    assert log.asked[-1].chosen.tenants == ("globex",)


@pytest.mark.slow
async def test_tabs_are_opened_by_keys_and_by_clicks() -> None:
    async with console(ConsoleLog()) as top:
        await top.shows("1,241")
        await top.press("2")
        await top.shows("payment.completed")
        await top.click("TabLabel", (2, 0))
        await top.shows("1,241")


@pytest.mark.slow
async def test_help_shows_the_keys_and_closes() -> None:
    async with console(ConsoleLog()) as top:
        await top.shows("1,241")
        await top.press("question_mark")
        await top.shows("Keys", "Reverse order", "Events")
        await top.press("escape")
        await top.hides("Reverse order")


@pytest.mark.parametrize(("key", "code"), [("q", 0), ("ctrl+c", 130)])
async def test_q_ends_well_and_ctrl_c_as_everywhere(key: str, code: int) -> None:
    async with console(ConsoleLog()) as top:
        await top.press(key)
        assert top.app.return_value == code


def order(text: str) -> list[str]:
    """Return the beginnings of the handlers, from top to bottom."""
    rows = text.split("Handler", 1)[1].split("Worker", 1)[0]
    return sorted((name for name in ("shop.mail", "shop.billing", r"\x1b") if name in rows), key=rows.index)
