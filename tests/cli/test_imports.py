"""The imports of a run: only those that it needs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from craft_events_cli import app
from tests.support.commands import PAGES

pytestmark = [pytest.mark.slow, pytest.mark.waiting]

FRAME = {f"craft_events_cli{module}" for module in ("", ".app", ".data_stream", ".errors", ".lifecycle", ".terminal")}
PROGRAM = """
import sys
from craft_events_cli import app
code = app.run(sys.argv[1:])
sys.stderr.write("\\n" + " ".join(sorted({name.partition(".")[0] for name in sys.modules})) + "\\n")
sys.stderr.write(" ".join(sorted(name for name in sys.modules if name.startswith("craft_"))) + "\\n")
sys.exit(code)
"""
FORKING = """
import os, sys
import pydantic, rich.console, typer  # every page needs them; they are imported once
from craft_events_cli import app
before = set(sys.modules)
assert not {name for name in before if name.startswith(("craft_events_cli.commands", "pymongo", "bson"))}
for words in sys.argv[1:]:
    if child := os.fork():
        assert os.waitpid(child, 0)[1] == 0
        continue
    app.run([*words.split(), "--help"])
    os.write(2, (" ".join(sorted(set(sys.modules) - before)) + "\\n").encode())
    os._exit(0)
"""
"""Each page in a process that is forked from one with the frame."""


def imported(*args: str, cwd: Path, code: int = 0) -> tuple[set[str], set[str]]:
    """Run a command line in a process of its own; return the packages and modules of ours that it imported."""
    measured = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    environment = {**measured, "PYTHONPATH": str(Path(__file__).parents[2])}  # coverage has imports of its own
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, *args], cwd=cwd, env=environment, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == code, ended.stderr
    packages, ours = ended.stderr.splitlines()[-2:]
    return set(packages.split()), set(ours.split())


@pytest.mark.parametrize("args", [("--version",), ("--help",), ("replya",)], ids=" ".join)
def test_the_roots_own_pages_load_no_command_and_no_library(tmp_path: Path, args: tuple[str, ...]) -> None:
    packages, ours = imported(*args, cwd=tmp_path, code=2 if args == ("replya",) else 0)
    assert not packages & {"pymongo", "bson", "asyncio"}
    assert {name for name in ours if not name.startswith("craft_easy")} == FRAME
    assert "craft_easy.core.events.store" not in ours


def test_the_version_loads_no_rich_and_no_pydantic(tmp_path: Path) -> None:
    packages, ours = imported("--version", cwd=tmp_path)
    assert not packages & {"pydantic", "craft_easy"}
    assert ours == FRAME


@pytest.fixture(scope="module")
def imported_by_pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The modules that each help page imports, without those that all commands share."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    ended = subprocess.run(
        [sys.executable, "-c", FORKING, *PAGES[1:]],
        cwd=tmp_path_factory.mktemp("pages"),
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ended.returncode == 0, ended.stderr
    found = (line.split(" ") for line in ended.stderr.splitlines())
    return dict(zip(PAGES[1:], map(set, found), strict=True))


@pytest.mark.parametrize("words", PAGES[1:])
def test_a_help_page_loads_its_own_command_and_no_driver(imported_by_pages: dict[str, set[str]], words: str) -> None:
    modules = imported_by_pages[words]
    assert not modules & {"pymongo", "bson", "motor", "textual", "prometheus_client", "opentelemetry"}
    loaded = {name for name in modules if name.startswith("craft_events_cli.commands.")}
    assert loaded == {f"craft_events_cli.commands.{app.COMMANDS[words.split()[0]].module}"}


@pytest.mark.parametrize("output", ["ndjson", "json", "csv"])
def test_machine_formats_import_no_rich(tmp_path: Path, output: str) -> None:
    (tmp_path / "shop.py").write_text(
        "from craft_easy.core.events import event_handler\n@event_handler('*')\ndef react(event): ...\n"
    )
    packages, _ = imported("handlers", "list", "-m", "shop", "-o", output, cwd=tmp_path)
    assert not packages & {"rich", "pymongo", "bson"}


def test_a_usage_error_imports_no_driver(tmp_path: Path) -> None:
    packages, _ = imported("replay", "--tennant", "x", cwd=tmp_path, code=2)
    assert not packages & {"pymongo", "rich"}
