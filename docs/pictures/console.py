"""The pictures of the console, made from the running application."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from os import environ
from pathlib import Path
from typing import Final

from textual.pilot import Pilot

from craft_easy.core.events.store import EventStore
from craft_events_cli import params
from craft_events_cli.top.app import TopApp
from craft_events_cli.top.source import LogSource

HERE: Final = Path(__file__).parent
SIZE: Final = (100, 28)
LOG: Final = "craft_easy.event_log at db-1"
FONTS: Final = 'ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace'
SECONDS: Final = 60
VIEWS: Final = {
    "top": ((), ("alive", "shop.billing:charge", "figures every")),
    "topevents": (("2",), ("order.placed", "live")),
    "topdead": (("4",), ("CardExpired",)),
    "topevent": (("4", "enter", "enter"), ("CardExpired", '"order_id"')),
}
"""The keys that lead to each picture, and what is on it."""


def draw_console(uri: str, environment: dict[str, str]) -> None:
    """Draw the views of the console on a log, beside a worker that watches it."""
    with watching(environment):
        for theme in ("dark", "light"):
            for name, (keys, texts) in VIEWS.items():
                drawn = asyncio.run(picture(uri, theme, keys, texts))
                (HERE / f"{name}-{theme}.svg").write_text(drawn)


@contextmanager
def watching(environment: dict[str, str]) -> Iterator[None]:
    """Have a worker at work inside the block."""
    command = [sys.executable, "-m", "craft_events_cli", "redispatch", "--watch"]
    worker = subprocess.Popen(command, env={**environ, **environment}, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        worker.terminate()
        worker.wait()


async def picture(uri: str, theme: str, keys: tuple[str, ...], texts: tuple[str, ...]) -> str:
    """Return what the console shows after these keys."""
    async with EventStore(uri=uri) as store:
        app = TopApp(LogSource(store, params.Limiting()), log_name=LOG, theme=theme)
        async with app.run_test(size=SIZE) as pilot:
            await shows(pilot, "figures every")
            for key in keys:
                await pilot.press(key)
                await asyncio.sleep(1)
            await shows(pilot, *texts)
            return self_contained(app.export_screenshot(title="craft-events top"))


async def shows(pilot: Pilot[int], *texts: str) -> None:
    """Wait until all of these texts are on the screen."""
    async with asyncio.timeout(SECONDS):
        while not all(text in screen(pilot) for text in texts):
            await pilot.pause(0.1)


def screen(pilot: Pilot[int]) -> str:
    """Return the text of the screen."""
    drawn = pilot.app.export_screenshot()
    return re.sub(r"<[^>]+>", "", drawn).replace("&#160;", " ").replace("&quot;", '"')


def self_contained(drawn: str) -> str:
    """Return a picture that loads no font."""
    drawn = re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r"<!--.*?-->", "", drawn, flags=re.DOTALL)
    return re.sub(r"font-family: Fira Code, monospace", f"font-family: {FONTS}", drawn)
