"""Fixtures of several modules of this folder."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from craft_easy.core.events import EventBus
from tests.unit.noting import Seen

Load = Callable[[str, str], Any]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Import a module that a test writes; it is removed after the test."""
    monkeypatch.syspath_prepend(tmp_path)

    def load(name: str, source: str) -> Any:
        (tmp_path / f"{name}.py").write_text(source)
        monkeypatch.setitem(sys.modules, name, None)  # so that the import is undone
        del sys.modules[name]
        return importlib.import_module(name)

    return load


@pytest.fixture
def bus() -> EventBus:
    return EventBus()


@pytest.fixture
def seen() -> Seen:
    return []
