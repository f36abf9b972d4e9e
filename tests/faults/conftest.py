"""Servers and proxies for the tests of faults."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.proxy import Proxy
from tests.support.server import TEST_COMMANDS, Server

HERE: Final = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder: each waits for a lease, a limit or a server, and depends on timing."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.alone)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server of the test's own, with test commands."""
    with Server(tmp_path / "server", TEST_COMMANDS) as server:
        yield server


@pytest.fixture
async def proxy(embedded_uri: str) -> AsyncIterator[Proxy]:
    """A proxy in front of the server of all tests."""
    async with Proxy(embedded_uri) as proxy:
        yield proxy
