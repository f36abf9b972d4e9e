"""Shared by all tests: a server, a database for each test, and a check that no test is skipped on CI.

The server is the embedded log, one for the whole run; with CRAFT_EVENTS_TEST_URI it is the one at that address.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from pymongo import MongoClient

from craft_easy.core.events import embedded
from craft_easy.core.events.model import event_class
from tests.support import surroundings

TEST_URI = os.environ.get(surroundings.TEST_URI, "")
Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)
IS_CI = os.environ.get("CI", "").lower() in ("1", "true")

surroundings.clear()
if "PYTEST_XDIST_WORKER" in os.environ:  # coverage measures the worker, and not each process that a test starts
    os.environ.pop("COVERAGE_PROCESS_CONFIG", None)
settings.register_profile(
    "shared",
    deadline=None,  # the speed of drawing examples depends on the machine
    derandomize=True,  # the same examples each time: luck decides nothing
    max_examples=100 if IS_CI else 50,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("search", settings.get_profile("shared"), derandomize=False, max_examples=1_000)
settings.load_profile("shared")


@pytest.fixture(scope="session")
def embedded_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a MongoDB-compatible server that lives as long as the test run."""
    if TEST_URI:
        yield TEST_URI
        return
    with embedded.join(tmp_path_factory.mktemp("embedded") / "log", timeout=60) as log:
        yield log.uri


@pytest.fixture(scope="session")
def mongo_client(embedded_uri: str) -> Iterator[MongoClient[dict[str, Any]]]:
    """A client of that server, for what tests prepare, look up and clear away."""
    with MongoClient[dict[str, Any]](embedded_uri, serverSelectionTimeoutMS=10_000) as client:
        yield client


@pytest.fixture
def database_name(mongo_client: MongoClient[dict[str, Any]]) -> Iterator[str]:
    """The name of a database that only this test uses; the embedded server goes with all of them at the end."""
    name = f"craft_test_{secrets.token_hex(6)}"
    yield name
    if TEST_URI:
        mongo_client.drop_database(name)


@pytest.fixture(autouse=True)
def own_event_classes() -> Iterator[None]:
    """Remove the event classes that a test defines, and hide those of examples and of the demo."""
    with event_class.forgetting_classes(keep=("craft_easy.", "tests.")):
        yield


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what the embedded server cannot store or enforce, unless there is a MongoDB to test against."""
    if not TEST_URI:
        left_out = [item for item in items if item.get_closest_marker("mongod")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a skipped test on CI, where everything that it needs is installed."""
    return _unskipped((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole module."""
    return _unskipped((yield))


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Replace lone surrogates in a report, which is sent from process to process as UTF-8."""
    return _encodable((yield))


def _encodable(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case dict():
            return {_encodable(key): _encodable(item) for key, item in value.items()}
        case list() | tuple():
            return type(value)(map(_encodable, value))
    return value


def _unskipped(report: Report) -> Report:
    if IS_CI and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped, which on CI is a failure: {report.longrepr}"
    return report
