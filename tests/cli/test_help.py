"""What `help` has to say beyond the pages of commands, and what is meant by a word that is wrong."""

import re

import pytest

from craft_events_cli import app
from tests.cli.conftest import Cli


def test_the_root_page_names_every_command_once(cli: Cli) -> None:
    page = cli("help").out
    names = re.findall(r"^  ([a-z]+)  ", page, re.MULTILINE)
    assert sorted(names) == sorted({words.split()[0] for words in app._all_names()} | {"help", "fail", "stub"})
    sections = [name for members in app.SECTIONS.values() for name in members]
    assert len(sections) == len(set(sections))


def test_a_command_that_is_in_no_section_is_on_the_root_page_too(cli: Cli) -> None:
    page = cli("--help").out
    assert "\nMore\n  stub " in page


def test_the_root_page_fits_a_narrow_terminal(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    rows = [line for line in cli("--help").out.splitlines() if line.startswith("  ") and "craft-events" not in line]
    assert max(map(len, rows)) <= 40


@pytest.mark.parametrize(
    ("args", "message", "hint"),
    [
        (["help", "replya"], "no such command: replya. Did you mean replay?", "see craft-events --help"),
        (["help", "dead", "rtry"], "no such command: dead rtry. Did you mean dead retry?", ""),
        (["help", "qqqq"], "no such command: qqqq", "see craft-events --help"),
        (["help", "completion-values"], "no such command: completion-values. Did you mean completion?", ""),
        (["retry"], "no such command: retry. Did you mean dead retry?", "see craft-events --help"),
        (["check"], "no such command: check. Did you mean handlers check?", "see craft-events --help"),
        (["stub", "-o", "JSON"], '--output: "JSON" is none of table, ndjson, json, csv', "did you mean json?"),
        (["stub", "-o", "jsonl"], '--output: "jsonl" is none of table, ndjson, json, csv', "did you mean json?"),
        (["stub", "--state", "opne"], '--state: "opne" is none of open, dead, done, untracked', "did you mean open?"),
        (["stub", "--state", "x"], '--state: "x" is none of open, dead, done, untracked', ""),
        (["stub", "--color", "allways"], '--color: "allways" is none of auto, always, never', "did you mean always?"),
        (["dead", "list", "--by", "tennant"], '--by: "tennant" is none of', "did you mean tenant?"),
        (["completion", "bsh"], 'SHELL: "bsh" is none of bash, zsh, fish', "did you mean bash?"),
        (["help", "x" * 100_000], "no such command: xxx", "see craft-events --help"),
    ],
)  # fmt: skip
def test_what_is_meant_is_asked_where_a_word_is_wrong(cli: Cli, args: list[str], message: str, hint: str) -> None:
    ended = cli(*args)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"error: {message}")
    assert hint in ended.err
    assert len(ended.err.splitlines()) <= 2
    assert len(ended.err) < 1_300


@pytest.mark.parametrize("args", [["help", "help"], ["help", "--help"], ["help", "-h"]])
def test_help_of_help_is_the_root_page(cli: Cli, args: list[str]) -> None:
    assert cli(*args).out == cli("--help").out


def test_help_of_a_group_and_of_a_command_are_their_pages(cli: Cli) -> None:
    assert cli("help", "dead").out == cli("dead", "--help").out
    assert cli("help", "dead", "list").out == cli("dead", "list", "--help").out
