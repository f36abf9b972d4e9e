"""Who runs a command, for the records that it changes."""

from __future__ import annotations

from getpass import getuser
from socket import gethostname


def operator() -> str:
    """Return user and host."""
    try:
        user = getuser()
    except (OSError, KeyError):  # a container without a user of that number
        user = "operator"
    return f"{user}@{gethostname()}"
