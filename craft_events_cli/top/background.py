"""Whether the terminal is light: it is asked for the colour of its background, before the console draws.

The question is xterm's OSC 11. A terminal that does not know it answers the next question, for its device attributes,
which every terminal knows; so the wait is short, and where nothing answers at all it ends after a fifth of a second.
https://invisible-island.net/xterm/ctlseqs/ctlseqs.html
"""

from __future__ import annotations

import os
import re
import select
import sys
import termios
import time
import tty
from typing import Final

WAIT: Final = 0.2
"""Seconds; a terminal on the other end of a slow line is taken as dark."""
QUESTION: Final = b"\x1b]11;?\x1b\\\x1b[c"
_ANSWER: Final = re.compile(rb"\x1b\]11;rgb:([0-9a-fA-F]+)/([0-9a-fA-F]+)/([0-9a-fA-F]+)")
_LAST: Final = re.compile(rb"\x1b\[\?[0-9;]*c")


def is_light() -> bool:
    """Return whether the background is light; dark where the terminal does not say.

    `COLORFGBG`, which some terminals set, holds the numbers of the text's colour and the background's: 7 and 15 are
    white.
    """
    named = os.environ.get("COLORFGBG", "").rpartition(";")[2]
    return named in ("7", "15") if named else is_light_color(_answer())


def is_light_color(answer: bytes) -> bool:
    """Return whether an answer of a terminal names a light colour, by ITU-R BT.601's weights.

    >>> is_light_color(b"\\x1b]11;rgb:ffff/ffff/dddd\\x07"), is_light_color(b"\\x1b]11;rgb:0000/2b2b/3636\\x07")
    (True, False)
    """
    found = _ANSWER.search(answer)
    if found is None:
        return False
    red, green, blue = (int(one, 16) / (16 ** len(one) - 1) for one in found.groups())
    return bool(0.299 * red + 0.587 * green + 0.114 * blue > 0.5)


def _answer() -> bytes:
    """Ask the terminal and return what it answers; nothing where there is none."""
    try:
        keyboard, screen = sys.__stdin__.fileno(), sys.__stderr__.fileno()  # type: ignore[union-attr]  # AttributeError
        before = termios.tcgetattr(keyboard)
    except (AttributeError, OSError, ValueError, termios.error):
        return b""
    try:
        tty.setcbreak(keyboard, termios.TCSANOW)
        os.write(screen, QUESTION)
        return _read(keyboard)
    except OSError:
        return b""
    finally:
        termios.tcsetattr(keyboard, termios.TCSANOW, before)


def _read(keyboard: int) -> bytes:
    answer, until = b"", time.monotonic() + WAIT
    while (left := until - time.monotonic()) > 0 and not _LAST.search(answer):
        if select.select([keyboard], [], [], left)[0]:
            answer += os.read(keyboard, 1024)
    return answer
