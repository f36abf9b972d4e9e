"""The console without a terminal, on a source in memory or on a real log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from textual.pilot import Pilot

from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.operations.dead import Choice, State
from craft_easy.core.events.operations.unfinished_delivery import UnfinishedDelivery
from craft_events_cli.top.actions import ConsoleActions
from craft_events_cli.top.app import TopApp
from craft_events_cli.top.filtering import EventFilter
from tests.support.history import BEGAN, HOSTILE

NOW = BEGAN + timedelta(days=1)
SECONDS = 60.0
WIDTHS = (80, pytest.param(120, marks=pytest.mark.slow), pytest.param(200, marks=pytest.mark.slow))


def unfinished(number: int, state: State = "dead", **fields: Any) -> UnfinishedDelivery:
    """Return a delivery of the event of this number."""
    at = BEGAN + timedelta(minutes=number)
    return replace(
        UnfinishedDelivery(
            event_id=f"019abf3e-0000-7000-8000-{number:012x}",
            event_type="order.placed",
            timestamp=at,
            tenant_id="acme",
            handler="shop.billing:charge",
            state=state,
            attempts=20 if state == "dead" else 3,
            crashes=0,
            due_at=at + timedelta(days=2) if state == "pending" else None,
            owner=None,
            finished_at=at + timedelta(hours=1) if state == "dead" else None,
            error_type="CardExpired",
            error_message="card of c_204 expired 2026-09",
            where="shop/billing.py:31 in charge",
            reason=None,
        ),
        **fields,
    )


SOME: Sequence[UnfinishedDelivery] = (
    *(unfinished(number) for number in range(1, 4)),
    unfinished(
        4, handler="shop.mail:send", error_type="SMTPServerDisconnected", error_message="closed", tenant_id=None
    ),
    unfinished(5, handler=HOSTILE, error_type=HOSTILE, error_message=HOSTILE, tenant_id=HOSTILE, event_type=HOSTILE),
    *(unfinished(number, "pending", handler="shop.mail:send", where=None) for number in range(6, 8)),
    unfinished(8, "pending", due_at=BEGAN, crashes=2),
    unfinished(9, "pending", owner="api-3:4121:x"),
    unfinished(10, "pending", handler=HOSTILE, error_type=HOSTILE, error_message=HOSTILE, tenant_id=HOSTILE),
)


@dataclass
class MemorySource:
    """Answers the questions of the views from memory."""

    unfinished: Sequence[UnfinishedDelivery] = SOME
    error: Exception | None = None
    read: int = 0
    """The number of deliveries that were read for lists."""
    _never: asyncio.Event = field(default_factory=asyncio.Event)

    async def figures(self, chosen: EventFilter) -> Any:
        del chosen
        await self._never.wait()

    async def workers(self) -> Sequence[Any]:
        return ()

    async def event(self, event_id: str) -> dict[str, Any] | None:
        del event_id
        return None

    async def trace(self, event_id: str) -> Any:
        del event_id

    async def live(self, chosen: EventFilter, observer: Any) -> AsyncGenerator[Any, None]:
        del chosen, observer
        await self._never.wait()
        yield

    async def page(self, chosen: EventFilter, *, is_older: bool, after: Any = None) -> Any:
        del chosen, is_older, after
        await self._never.wait()

    async def now(self) -> Any:
        return NOW

    async def selection(self, chosen: EventFilter) -> Selection:
        return chosen.within(Selection())

    async def deliveries(self, state: State, choice: Choice) -> AsyncGenerator[UnfinishedDelivery, None]:
        if self.error is not None:
            raise self.error
        for one in self.unfinished:
            if one.state == state and _is_chosen(one, choice):
                self.read += bool(choice.handlers)
                yield one


def _is_chosen(one: UnfinishedDelivery, choice: Choice) -> bool:
    tenants = choice.selection.tenants
    return (
        one.handler in (choice.handlers or (one.handler,))
        and one.event_id in (choice.event_ids or (one.event_id,))
        and choice.cause in (None, one.cause)
        and (one.tenant_id in tenants or not tenants)
    )


class Console:
    """A console that runs: its keys, and what it shows."""

    def __init__(self, app: TopApp, pilot: Pilot[int]) -> None:
        self.app = app
        self._pilot = pilot

    async def press(self, *keys: str) -> None:
        """Press keys."""
        await self._pilot.press(*keys)

    async def type(self, text: str) -> None:
        """Type a text."""
        await self._pilot.press(*("space" if key == " " else key for key in text))

    async def click(self, selector: str, offset: tuple[int, int] = (0, 0), times: int = 1) -> None:
        """Click on a widget."""
        await self._pilot.click(selector, offset=offset, times=times)

    async def resize(self, width: int, height: int = 24) -> None:
        """Give the terminal another size."""
        await self._pilot.resize_terminal(width, height)
        await self._pilot.pause()

    def text(self) -> str:
        """Return what is on the screen."""
        strips = self.app.screen._compositor.render_strips()
        return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)

    def last_line(self) -> str:
        """Return the last line."""
        return self.text().splitlines()[-1]

    async def shows(self, *texts: str) -> str:
        """Wait until all of these texts are on the screen."""
        return await self._until(lambda text: all(one in text for one in texts), f"{texts} on")

    async def hides(self, *texts: str) -> str:
        """Wait until none of these texts is on the screen."""
        return await self._until(lambda text: not any(one in text for one in texts), f"{texts} off")

    async def _until(self, condition: Any, name: str) -> str:
        try:
            async with asyncio.timeout(SECONDS):
                while not condition(text := self.text()):
                    assert self.app.is_running, "the console has ended"
                    await self._pilot.pause(0.05)  # drawing the whole screen is most of the cost
        except TimeoutError:
            raise AssertionError(f"{name} the screen:\n{self.text()}") from None
        return text


@asynccontextmanager
async def console(
    source: Any,
    *,
    actions: ConsoleActions | None = None,
    width: int = 120,
    height: int = 24,
    log_name: str = "log at db",
) -> AsyncIterator[Console]:
    """Run the console on a source."""
    app = TopApp(source, log_name=log_name, actions=actions, theme="dark")
    async with app.run_test(size=(width, height), notifications=True) as pilot:
        yield Console(app, pilot)
