"""The help pages: one for the root, each group and each command."""

import re

import pytest

from craft_easy.core.events.model.times import parse_moment
from craft_events_cli import app
from craft_events_cli.completion import flags_of
from tests.cli.conftest import Cli
from tests.support.commands import COMMANDS, GROUPS, PAGES, examples_of, help_of, parameters_of

NAMES = {
    "": app.COMMANDS,
    **{group: [words.split()[1] for words in COMMANDS if words.startswith(f"{group} ")] for group in GROUPS},
}


def words_of(page: str) -> str:
    """Return the text of a page without frames, line breaks, backslashes before them and repeated spaces."""
    return " ".join(word for word in re.sub("[│╭╮╰╯─]", " ", page).split() if word != "\\")


@pytest.mark.parametrize("words", PAGES)
def test_every_page_shows_its_text_whole_brackets_included(cli: Cli, words: str) -> None:
    ended = cli(*words.split(), "-h")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.split(maxsplit=1)[0] == "Usage:"
    assert words_of(help_of(words)) in words_of(ended.out)


def test_brackets_are_not_markup(cli: Cli) -> None:
    page = cli("stub", "--help").out
    assert "jq '.[0]'" in page
    assert "with [brackets] in it" in page
    assert app.page("a [red] b \\[/x] c") == "a \\[red] b \\\\\\[/x] c"


@pytest.mark.parametrize("words", [*GROUPS, *COMMANDS])
def test_a_page_begins_with_a_sentence_and_two_to_four_examples(words: str) -> None:
    summary, examples, *_ = help_of(words).split("\n\n")
    assert re.fullmatch(r"[A-Z][^\n]+\.", summary)
    assert examples.startswith("Examples:\n")
    assert 2 <= len(examples_of(words)) <= 4
    assert all(f"craft-events {words}" in example or words == "serve" for example in examples_of(words))


@pytest.mark.parametrize("words", [*GROUPS, *COMMANDS])
def test_an_example_can_be_copied_from_80_columns(cli: Cli, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    _, _, block = cli(*words.split(), "-h").out.partition("Examples:")
    lines = [line.rstrip() for line in block.splitlines()[1:]]
    text = "\n".join(lines[: lines.index("")])
    assert re.sub(r" \\\n +", " ", text).splitlines() == [f"   {example}" for example in examples_of(words)]


@pytest.mark.parametrize("words", PAGES)
def test_a_flag_asks_for_no_value_on_its_page(cli: Cli, words: str) -> None:
    assert "<bool>" not in cli(*words.split(), "-h").out


@pytest.mark.parametrize("words", COMMANDS)
def test_every_option_has_a_short_help_and_is_on_the_page(cli: Cli, words: str) -> None:
    page = words_of(cli(*words.split(), "--help").out)
    for one in parameters_of(words):
        assert one.help is not None
        assert re.match("[a-z]", one.help)
        assert len(one.help) <= 60
        assert one.help in page
        assert all(flag in page for flag in flags_of(one))
    for flag in ("--handlers", "--due"):
        assert not re.search(rf"{flag}\b", page)


@pytest.mark.parametrize("group", NAMES)
def test_a_page_names_every_command_once(cli: Cli, group: str) -> None:
    rows = re.findall(r"^│ ([a-z][a-z-]*)  ", cli(*group.split(), "--help").out, re.MULTILINE)
    assert sorted(set(rows) - {"stub", "fail", "lines", "wait"}) == sorted(NAMES[group])
    assert len(rows) == len(set(rows))


def test_the_root_page_is_shown_without_arguments(cli: Cli) -> None:
    assert cli().out == cli("--help").out
    assert "completion-values" not in cli().out


def test_help_wins_over_a_value_that_is_wrong(cli: Cli) -> None:
    assert cli("stub", "--limit", "0", "-h").out == cli("stub", "--help").out


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
@pytest.mark.parametrize("words", ["", "replay", "prune"])
def test_a_page_fits_the_terminal(cli: Cli, monkeypatch: pytest.MonkeyPatch, words: str, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert max(len(line) for line in cli(*words.split(), "--help").out.splitlines()) <= columns


@pytest.mark.parametrize("mode", ["auto", "always", "never"])
def test_color_is_an_option_of_every_command(cli: Cli, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    if mode == "always":
        monkeypatch.setenv("NO_COLOR", "1")
    ended = cli("stub", "--help", "--color", mode)
    assert ("\x1b[" in ended.out) is (mode == "always")


@pytest.mark.parametrize("words", COMMANDS)
def test_the_times_that_the_help_of_an_option_names_are_valid(words: str) -> None:
    helps = [one.help or "" for one in parameters_of(words) if one.metavar == "TIME" and one.name != "wait_max"]
    for text in (text for one in helps if ": " in one for text in one.partition(": ")[2].split(", ")):
        parse_moment(text)
