"""The settings of the person who runs the tests, which must not reach them."""

from __future__ import annotations

import os
import signal
from typing import Final

TEST_URI: Final = "CRAFT_EVENTS_TEST_URI"
"""The one variable that the tests read: the address of a server to test against."""
_TERMINAL: Final = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES")


def clear() -> None:
    """Remove every setting of the product and of the terminal, and let the signals of a terminal end a process."""
    for name in settings():
        del os.environ[name]
    for name in _TERMINAL:
        os.environ.pop(name, None)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in a shell's background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # nohup
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def settings() -> list[str]:
    """Return the variables with a setting of the product."""
    return [name for name in os.environ if name.startswith("CRAFT_EVENTS_") and name != TEST_URI]
