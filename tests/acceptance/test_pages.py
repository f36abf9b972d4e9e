"""The README and the pages of `docs/` are true: their code runs, their commands print these outputs, names exist."""

from __future__ import annotations

import ast
import codeop
import configparser
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import pytest

from craft_easy.core import events
from craft_easy.core.events import errors, store, types
from craft_easy.core.events.settings import TABLE_KEYS
from craft_easy.core.events.testing import fresh_bus
from craft_events_cli.completion import flags_of
from craft_events_cli.demo.proof import Proof
from craft_events_cli.demo.story import _table
from craft_events_cli.errors import ExitCode
from docs import command_line
from tests.acceptance import examples, pages
from tests.acceptance.pages import PAGES, README, ROOT, Block, blocks, name_of
from tests.support.commands import COMMANDS, parameters_of

MAX_LINES: Final = 250
FOREIGN_OPTIONS: Final = {
    "reference/output.md": {"--indent"},
    "explanation/proof.md": {"--see-a-loss", "--seed"},
    "howto/deployment.md": {"--replSet", "--bind_ip_all", "--eval", "--quiet", "--no-cache-dir", "--system"},
    "CONTRIBUTING.md": {"--lf"},
}
"""Options of other programs, and the pages that name them."""
MISSPELT: Final = {"--tennant"}
INSTRUCTIONS: Final = {"FROM", "RUN", "COPY", "WORKDIR", "USER", "ENV", "ENTRYPOINT", "CMD", "LABEL"}


def examples_of(page: Path) -> list[Block]:
    """Return the Python blocks of a page that are neither a file nor an excerpt of `examples/`."""
    return [block for block in blocks(page, "python") if not block.file and not block.is_excerpt]


def blocks_of(*languages: str) -> list[object]:
    """Return a parameter for each block in these languages, named by its page and line."""
    found = [(page, block) for page in PAGES for block in blocks(page, *languages)]
    return [pytest.param(block, id=f"{name_of(page)}:{block.line}") for page, block in found]


# ---------------------------------------------------------------- code


@pytest.fixture
def new_process(
    embedded_uri: str, database_name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Path]:
    """The directory of a new process: the package's own event classes, settings in the environment, no `shop` yet."""
    monkeypatch.setenv("CRAFT_EVENTS_URI", embedded_uri)
    monkeypatch.setenv("CRAFT_EVENTS_DATABASE", database_name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("shop", None)


@pytest.fixture
async def new_bus(new_process: Path) -> AsyncIterator[Path]:
    """The same, with an empty bus."""
    with fresh_bus() as bus:
        yield new_process
        await bus.aclose()


@pytest.mark.parametrize("page", [page for page in PAGES if examples_of(page)], ids=name_of)
async def test_the_python_of_a_page_runs_from_top_to_bottom(page: Path, new_bus: Path) -> None:
    pages.write_files(page, new_bus)
    with examples.module("documentation_page", str(page)) as made:
        for block in examples_of(page):
            await examples.run_in(made, block.text, line=block.line)


@pytest.mark.parametrize(
    "block",
    [pytest.param(block, id=f"{name_of(page)}:{block.line}") for page in PAGES for block in examples_of(page)],
)
def test_an_example_can_be_pasted_into_an_interactive_session(block: Block) -> None:
    """There a blank line ends a block, and a line that is not indented does not: Python 3.13 alone is more lenient."""
    compiler = codeop.CommandCompiler()
    compiler.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    typed: list[str] = []
    for line in [*block.text.splitlines(), ""]:
        typed.append(line)
        if compiler("\n".join(typed), "<typed>", "single") is not None:
            typed.clear()
    assert typed == []


# ---------------------------------------------------------------- commands


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, id=name_of(page), marks=pytest.mark.slow) for page in PAGES if pages.commands(page)],
)
def test_the_commands_of_a_page_print_what_it_shows(page: Path, tmp_path: Path) -> None:
    for ran in pages.run(page, tmp_path):
        place = f"{name_of(page)}:{ran.command.line}: {ran.command.words}"
        assert pages.matches(ran.printed, ran.command.shown), f"{place}\n{ran.printed}\nnot\n{ran.command.shown}"


@pytest.mark.parametrize("block", blocks_of("sh"))
def test_a_shell_block_is_shell(block: Block) -> None:
    checked = subprocess.run(["/bin/sh", "-n"], input=block.text, text=True, capture_output=True)
    assert checked.returncode == 0, checked.stderr


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("block", blocks_of("yaml"))
def test_a_yaml_block_has_keys_values_and_even_indentation(block: Block) -> None:
    """`make docs` reads it with a parser, which the tests do not have."""
    literal = 0
    for line in filter(None, block.text.splitlines()):
        indentation = len(line) - len(line.lstrip())
        if literal and indentation >= literal:
            continue
        literal = indentation + 2 if line.endswith("|") else 0
        assert indentation % 2 == 0, line
        assert re.fullmatch(r"\s*(#.*|---|(- )?[\w./-]+:( .+)?|- .+)", line), line


@pytest.mark.parametrize("block", blocks_of("ini"))
def test_a_systemd_unit_has_its_sections(block: Block) -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(block.text)
    assert set(unit.sections()) <= {"Unit", "Service", "Timer", "Install"}
    assert "Unit" in unit


@pytest.mark.parametrize("block", blocks_of("dockerfile"))
def test_a_container_file_has_known_instructions(block: Block) -> None:
    lines = re.sub(r"\\\n", "", block.text).splitlines()
    assert {line.split()[0] for line in lines if line and not line.startswith("#")} <= INSTRUCTIONS


@pytest.mark.parametrize("block", blocks_of("toml"))
def test_a_toml_block_has_settings_that_are_read(block: Block) -> None:
    assert set(tomllib.loads(block.text)["tool"]["craft-events"]) <= set(TABLE_KEYS)


# ---------------------------------------------------------------- names


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_names_no_command_that_does_not_exist(page: Path) -> None:
    inline = " ".join(re.findall(r"`[^`\n]*`", page.read_text()))
    code = " ".join([inline, *(block.text for block in blocks(page, "console", "sh", "ini"))])
    known = set(command_line.commands())
    groups = {words.split()[0] for words in known if " " in words}
    for first, second in re.findall(r"craft-events ([a-z]+)(?: ([a-z]+))?", code):
        assert first in known | groups, f"craft-events {first}"
        assert first in known or not second or f"{first} {second}" in known, f"craft-events {first} {second}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_names_no_option_that_does_not_exist(page: Path) -> None:
    known = {"--handlers", "--help", "--version"} | {
        flag for words in COMMANDS for one in parameters_of(words) for flag in flags_of(one)
    }
    foreign = next((names for end, names in FOREIGN_OPTIONS.items() if name_of(page).endswith(end)), set())
    named = set(re.findall(r"(?<![\w-])--[a-zA-Z][a-zA-Z_-]+", _without_scripts(page.read_text())))
    assert named - known - foreign - MISSPELT == set()


def _without_scripts(text: str) -> str:
    """Return a page without shell lines that call other programs."""
    return re.sub(r"^(pip|docker|podman|kubectl|systemctl|mongosh|python -m) .*$", "", text, flags=re.MULTILINE)


def test_each_command_is_named_on_some_page() -> None:
    text = " ".join(page.read_text() for page in PAGES)
    assert [words for words in command_line.commands() if f"craft-events {words}" not in text] == []


def test_the_page_of_exit_codes_names_each() -> None:
    text = (ROOT / "docs/reference/output.md").read_text()
    rows = re.findall(r"^\| ([0-9, ]+) \| .+ \|$", text, re.MULTILINE)
    assert [int(number) for row in rows for number in row.split(",")] == [int(code) for code in ExitCode]


def test_the_page_of_the_configuration_names_each_setting() -> None:
    text = (ROOT / "docs/howto/configuration.md").read_text()
    assert all(f"`{key}`" in text for key in TABLE_KEYS)


def test_the_python_reference_names_what_can_be_imported() -> None:
    named = set(re.findall(r"\w+", (ROOT / "docs/reference/api.md").read_text()))
    public = {*events.__all__, *types.__all__, *store.__all__}
    assert public - named - vars(errors).keys() == set()


def test_the_make_targets_exist() -> None:
    text = " ".join(page.read_text() for page in PAGES)
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test", "check", "proof", "docs"} <= named <= targets


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if "://" in link:
            continue
        path, _, heading = link.partition("#")
        target = (page.parent / path) if path else page
        assert target.exists(), link
        if heading:
            assert heading in {_anchor(each) for each in re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)}


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-")


def test_each_page_is_in_the_navigation_and_each_decision_in_its_list() -> None:
    docs = ROOT / "docs"
    decisions = {path.name for path in (docs / "decisions").glob("0*.md")}
    assert set(re.findall(r"\]\((0[^)]+)\)", (docs / "decisions/index.md").read_text())) == decisions
    named = set(re.findall(r"[\w/-]+\.md$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    others = {path.relative_to(docs).as_posix() for path in docs.rglob("*.md") if path.name not in decisions}
    assert named == others


# ---------------------------------------------------------------- the README


def test_the_readme_is_short() -> None:
    assert README.read_text().count("\n") <= MAX_LINES


def test_the_readme_shows_the_two_commands_that_set_everything_up() -> None:
    assert "make demo\nmake test\n" in [block.text for block in blocks(README, "sh")]


def test_the_count_of_the_demo_is_worded_as_the_demo_words_it() -> None:
    nothing = frozenset[str]()
    proof = Proof(nothing, nothing, nothing, nothing, nothing, Counter())
    for _, text in _table(proof):
        assert text in README.read_text()
