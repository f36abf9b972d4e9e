"""Charts in a line of text: a bar for one value, a sparkline for a series.

Block elements (Unicode U+2581 … U+258F) in steps of an eighth of a cell; ASCII characters on a terminal that cannot
show them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import IO, Final

_STEPS: Final = "▁▂▃▄▅▆▇█"
_PLAIN_STEPS: Final = ".:-=+*#"
_EIGHTHS: Final = "▏▎▍▌▋▊▉█"


def has_blocks(stream: IO[str]) -> bool:
    """Return whether the stream is UTF-8 and the locale is not C or POSIX, so that block elements can be shown."""
    if (getattr(stream, "encoding", "") or "").lower().replace("-", "") != "utf8":
        return False
    chosen = next((value for name in ("LC_ALL", "LC_CTYPE", "LANG") if (value := os.environ.get(name))), "")
    return chosen not in ("C", "POSIX")


def sparkline(values: Sequence[float], *, blocks: bool = True) -> str:
    """Return a character for each value, scaled to the highest; only 0 is a blank.

    >>> sparkline([0, 1, 50, 100])
    ' ▁▅█'
    >>> sparkline([0, 1, 50, 100], blocks=False)
    ' .=#'
    """
    steps = _STEPS if blocks else _PLAIN_STEPS
    peak = max(values, default=0)
    highest = len(steps) - 1
    return "".join(steps[min(int(value * len(steps) / peak), highest)] if value > 0 else " " for value in values)


def bar(value: float, most: float, width: int, *, blocks: bool = True) -> str:
    """Return a bar that is `width` cells long for `most`; a value above 0 is never drawn as nothing.

    >>> bar(3, 8, 4), bar(8, 8, 4), bar(0, 8, 4), bar(1, 1_000, 4)
    ('█▌', '████', '', '▏')
    >>> bar(3, 8, 4, blocks=False)
    '##'
    """
    if value <= 0 or most <= 0:
        return ""
    if not blocks:
        return "#" * max(round(value / most * width), 1)
    whole, rest = divmod(max(round(value / most * width * 8), 1), 8)
    return "█" * whole + (_EIGHTHS[rest - 1] if rest else "")
