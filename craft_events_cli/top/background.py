"""Whether the terminal is light."""

from __future__ import annotations

import os


def is_light() -> bool:
    """Return whether the terminal says that its background is light; dark where it says nothing.

    `COLORFGBG` holds the numbers of the text's colour and the background's: 7 and 15 are white.
    """
    return os.environ.get("COLORFGBG", "").rpartition(";")[2] in ("7", "15")
