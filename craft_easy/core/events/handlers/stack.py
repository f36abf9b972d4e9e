"""The deliveries that have no scope, found where they run: on the stack of whoever asks.

The foreground handlers of a bus without background handlers get no scope until somebody imports `current_delivery`. A
delivery that is under way at that moment, and one of a bus of that kind that publishes on another, are found here.
"""

from __future__ import annotations

import sys
from types import CodeType, FrameType
from typing import Any, Final

publishing: Final[set[CodeType]] = set()
"""The code that awaits such handlers; its frame knows `event`, `route` and `calls`."""


def innermost() -> dict[str, Any] | None:
    """Return what the frame of the innermost delivery without a scope knows, if this code runs in one."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the one way to look down the stack
    while frame is not None:
        if frame.f_code in publishing and "calls" in frame.f_locals:
            return frame.f_locals
        frame = frame.f_back
    return None
