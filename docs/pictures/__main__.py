"""Draw the pictures of the README: `make pictures`.

Each is the output of a command in a terminal of 100 columns over an embedded log, drawn by Rich once for a dark page
and once for a light one.
"""

from __future__ import annotations

import asyncio
import math
import os
import pty
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from io import StringIO
from itertools import groupby
from pathlib import Path
from typing import Final

import pyte
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import DIMMED_MONOKAI, TerminalTheme
from rich.text import Text

from craft_easy.core.events import DomainEvent, embedded
from craft_easy.core.events.store import EventStore
from docs.pictures.console import draw_console

HERE: Final = Path(__file__).parent
COLUMNS: Final = 100
CHARACTER_WIDTH: Final = 12.2
LINE_HEIGHT: Final = 24.4
"""Sizes in Rich's drawings, in their unit."""
HOURS: Final = 24
HANDLERS: Final = {
    "order.placed": ("shop.stock:reserve", "shop.billing:charge", "shop.mail:send_confirmation"),
    "order.shipped": ("shop.mail:send_confirmation",),
}
TENANTS: Final = ("acme", "globex", "initech")
LIGHT: Final = TerminalTheme(
    (255, 255, 255),
    (36, 41, 47),
    [
        (36, 41, 47),
        (180, 30, 40),
        (17, 110, 50),
        (140, 90, 0),
        (9, 80, 180),
        (120, 60, 170),
        (10, 110, 120),
        (90, 96, 104),
    ],
    [
        (87, 96, 106),
        (200, 30, 50),
        (25, 130, 60),
        (150, 100, 0),
        (20, 100, 210),
        (140, 80, 190),
        (20, 130, 140),
        (36, 41, 47),
    ],
)
THEMES: Final = {"dark": DIMMED_MONOKAI, "light": LIGHT}
FRAME: Final = """\
<svg viewBox="0 0 WIDTH HEIGHT" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect width="100%" height="100%" /></clipPath>{lines}</defs>
<rect width="WIDTH" height="HEIGHT" rx="8" fill="BACKGROUND" />
<g transform="translate(8, 8)">{backgrounds}<g class="{unique_id}-matrix">{matrix}</g></g>
</svg>
"""


def main() -> None:
    """Fill a log and draw each command."""
    with tempfile.TemporaryDirectory() as folder, embedded.join(Path(folder) / "log") as log:
        environment = {"CRAFT_EVENTS_URI": log.uri, "CRAFT_EVENTS_HANDLERS": "docs.pictures.shop"}
        asyncio.run(fill(log.uri, 4_000))
        asyncio.run(fill(log.uri, 420, hours=2))
        shown(["redispatch"], environment)
        asyncio.run(fill(log.uri, 137, hours=1))
        draw("stats", ["stats", "--since", f"{HOURS}h"], environment)
        draw("dead", ["dead", "list", "--by", "error"], environment)
        dead = dead_event(environment)
        draw("trace", ["trace", dead], environment)
        draw("doctor", ["doctor"], environment)
        draw_console(log.uri, environment)


async def fill(uri: str, events: int, *, hours: float = HOURS) -> None:
    """Store orders, spread over the last hours like a day's business, with nothing delivered."""
    async with EventStore(uri=uri) as store:
        now = await store.now()
        for event_type, handlers in HANDLERS.items():
            some = [one for one in orders(events, now, hours) if one.event_type == event_type]
            await store.append_many(some, handlers=handlers)


def orders(events: int, now: datetime, hours: float) -> Iterator[DomainEvent]:
    """Return orders, few at night and many at noon."""
    weights = [1.2 + math.sin((number / events) * 2 * math.pi - 1.2) for number in range(events)]
    past = 0.0
    for number, weight in enumerate(weights):
        past += 1 / weight
        yield DomainEvent(
            event_type="order.shipped" if number % 5 == 4 else "order.placed",
            tenant_id=TENANTS[number % 7 % 3],
            actor_id=f"user_{number % 89}",
            timestamp=now - timedelta(hours=hours) * (1 - past / sum(1 / one for one in weights)),
            payload={"order_id": f"o_{number}", "total": 12.5 + number % 60},
        )


def dead_event(environment: dict[str, str]) -> str:
    """Return the id of an event with a delivery that died."""
    import json

    listed = subprocess.run(
        [sys.executable, "-m", "craft_events_cli", "dead", "list", "--limit", "1", "-o", "ndjson"],
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
    )
    return str(json.loads(listed.stdout)["event_id"])


def draw(name: str, command: Sequence[str], environment: dict[str, str]) -> None:
    """Write the output of a command, for dark pages and for light ones."""
    lines = shown(command, environment)
    for theme, colors in THEMES.items():
        console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True, color_system="truecolor")
        console.print(Text.assemble(("$ ", "bold"), ("craft-events " + " ".join(command), "bold")))
        for line in lines:
            console.print(line, no_wrap=True, overflow="crop")
        frame = FRAME.replace("BACKGROUND", colors.background_color.hex)
        frame = frame.replace("WIDTH", f"{CHARACTER_WIDTH * COLUMNS + 20:.0f}")
        frame = frame.replace("HEIGHT", f"{LINE_HEIGHT * (len(lines) + 1) + 20:.0f}")
        svg = console.export_svg(theme=colors, code_format=frame, unique_id=f"{name}-{theme}")
        (HERE / f"{name}-{theme}.svg").write_text(svg)


def shown(command: Sequence[str], environment: dict[str, str]) -> list[Text]:
    """Run a command in its own terminal and return the final screen with its colours."""
    screen = pyte.Screen(COLUMNS, 60)
    stream = pyte.ByteStream(screen)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "craft_events_cli", *command],
        env={**os.environ, **environment, "COLUMNS": str(COLUMNS), "TERM": "xterm-256color"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=HERE.parents[1],
    )
    os.close(theirs)
    try:
        while data := os.read(ours, 65536):
            stream.feed(data)
    except OSError:
        pass  # the other side is closed: the command has ended
    process.wait()
    os.close(ours)
    lines = [_line(screen, row) for row in range(screen.lines)]
    while lines and not lines[-1].plain.strip():
        lines.pop()
    return lines


def _line(screen: pyte.Screen, row: int) -> Text:
    text = Text()
    cells = [screen.buffer[row][column] for column in range(COLUMNS)]
    for style, some in groupby(cells, lambda cell: (_color(cell.fg), cell.bold, cell.italics, cell.reverse)):
        color, bold, italic, reverse = style
        text.append("".join(cell.data for cell in some), Style(color=color, bold=bold, italic=italic, reverse=reverse))
    text.rstrip()
    return text


def _color(name: str) -> str | None:
    if name == "default":
        return None
    if len(name) == 6 and all(letter in "0123456789abcdef" for letter in name):
        return f"#{name}"
    return {"brown": "yellow"}.get(name, name.replace("bright", "bright_").replace("brown", "yellow"))


if __name__ == "__main__":
    main()
