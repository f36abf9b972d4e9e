"""An application of handler modules for the time of a test."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from craft_easy.core.events.testing import fresh_bus

REACT = "from craft_easy.core.events import event_handler\n@event_handler('*')\nasync def react(event): ...\n"
"""A module with one handler, for all events."""


@contextmanager
def application(directory: Path, modules: Mapping[str, str]) -> Iterator[Path]:
    """Write handler modules to a directory, with a bus of their own; at the end they are no longer imported."""
    for name, source in modules.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(source)
    path, imported = list(sys.path), set(sys.modules)
    try:
        with fresh_bus():
            yield directory
    finally:
        sys.path[:] = path
        for name in set(sys.modules) - imported:
            if str(directory) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]
