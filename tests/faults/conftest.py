"""Servers, proxies, logs and handlers for the tests of faults."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.faults.application import Ran
from tests.faults.engine import WAYS, Engine, Way, engine
from tests.faults.site import Site
from tests.support.proxy import Proxy
from tests.support.server import TEST_COMMANDS, Server

HERE: Final = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder: each waits for a lease, a limit or a server."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.waiting)


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


@pytest.fixture
async def shop(embedded_uri: str, database_name: str) -> AsyncIterator[Engine]:
    """A bus and its log."""
    async with engine(embedded_uri, database_name) as opened:
        yield opened


@pytest.fixture(params=sorted(WAYS))
def way(request: pytest.FixtureRequest) -> Way:
    """The publisher, and a redispatch."""
    return WAYS[request.param]


@pytest.fixture
def site(embedded_uri: str, database_name: str, tmp_path: Path) -> Iterator[Site]:
    """A log and its ledger, for processes."""
    with Site(embedded_uri, database_name, tmp_path) as site:
        yield site


@pytest.fixture
def ran() -> Ran:
    """Handlers that note their runs."""
    return Ran()
