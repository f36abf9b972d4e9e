"""The frame: the table of commands, pages, options, and what is said when the command line is wrong."""

import pytest

from craft_events_cli import __version__, app
from craft_events_cli.parsing import examples_of, signature_of, summary_of
from tests.cli.conftest import Cli

COMMANDS = [words for words, entry in app.COMMANDS.items() if not entry.is_hidden]


def test_the_version_is_data_on_stdout(cli: Cli) -> None:
    ended = cli("--version")
    assert (ended.code, ended.out, ended.err) == (0, f"craft-events {__version__}\n", "")


@pytest.mark.parametrize("args", [(), ("--help",), ("-h",), ("help",)])
def test_the_root_page_begins_with_examples_and_lists_every_command(cli: Cli, args: tuple[str, ...]) -> None:
    ended = cli(*args)
    assert ended.code == 0
    assert ended.err == ""
    lines = ended.out.splitlines()
    assert sum(line.startswith("  craft-events ") for line in lines[:6]) >= 2
    for words in COMMANDS:
        assert any(line.startswith(f"  {words.split()[0]} ") for line in lines)
    assert "completion-values" not in ended.out


@pytest.mark.parametrize("words", COMMANDS)
def test_every_page_begins_with_two_to_four_real_examples(cli: Cli, words: str) -> None:
    function = app.load(words)
    assert summary_of(function).endswith(".")
    examples = examples_of(function)
    assert 2 <= len(examples) <= 4
    assert all(f"craft-events {words}" in example or words == "serve" for example in examples)
    ended = cli(*words.split(), "--help")
    assert ended.code == 0
    assert ended.out.splitlines()[2] == f"  {examples[0]}"
    for one in signature_of(function).parameters:
        for flag in one.flags:
            assert (flag in ended.out) is not one.info.hidden
        assert one.info.help or one.info.hidden, f"{one.name} has no help"


def test_help_wins_over_wrong_options_and_follows_the_command_or_comes_first(cli: Cli) -> None:
    page = cli("stub", "--help").out
    assert page.startswith("Do nothing, and say what was understood.\n\n  craft-events stub one\n")
    assert "It has a second paragraph." in page
    assert cli("stub", "--no-such", "-h").out == page
    assert cli("help", "stub").out == page


def test_a_help_page_fits_a_narrow_terminal(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    page = cli("stub", "--help").out
    assert max(len(line) for line in page.splitlines() if not line.startswith("Selecting")) <= 60


def test_a_group_has_a_page_and_needs_a_command(cli: Cli) -> None:
    page = cli("handlers", "--help")
    assert page.code == 0
    assert "  list " in page.out
    ended = cli("handlers")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("error: handlers needs one of: list, show, check\n")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["replya"], "error: no such command: replya. Did you mean replay?"),
        (["handlers", "lst"], "error: no such command: handlers lst. Did you mean handlers list?"),
        (["qqqq"], "error: no such command: qqqq"),
        ([""], "error: no such command: "),
        (["-"], "error: no such command: -"),
        (["--uri", "x", "replay"], "error: options come after the command, as in: craft-events replay --uri"),
        (["stub", "--tennant", "acme"], "error: no such option: --tennant. Did you mean --tenant?"),
        (["stub", "--tennant=acme"], "error: no such option: --tennant. Did you mean --tenant?"),
        (["stub", "--zzzzzz"], "error: no such option: --zzzzzz"),
        (["stub", "-z"], "error: no such option: -z"),
        (["stub", "--tenant"], "error: --tenant needs a value, T"),
        (["stub", "--wait=1"], "error: --wait takes no value"),
        (["stub", "a", "b"], "error: unexpected argument: b"),
        (["fail"], "error: KIND is missing"),
        (["stub", "-o", "xml"], 'error: --output: "xml" is none of table, ndjson, json, csv'),
        (["stub", "--color", "pink"], 'error: --color: "pink" is none of auto, always, never'),
        (["stub", "--state", "opne"], 'error: --state: "opne" is none of open, dead, done, untracked'),
        (["stub", "--limit", "-1"], 'error: --limit: "-1" is no whole number of at least 1'),
        (["stub", "--limit", "0"], 'error: --limit: "0" is no whole number of at least 1'),
        (["stub", "--limit", "٣"], 'error: --limit: "٣" is no whole number of at least 1'),
        (["stub", "--limit", "9" * 20], f'error: --limit: "{"9" * 20}" is no whole number of at least 1'),
        (["stub", "--since", "yesterday"], 'error: --since: "yesterday" is not a valid time. Try 2h, 1d12h'),
        (["stub", "--since", "1h", "--until", "2h"], "error: the window is empty: "),
        (["stub", "--since", "2026-01-02", "--until", "2026-01-02"], "error: the window is empty: "),
        (["stub", "--type", ""], "error: --type: an empty pattern matches nothing"),
        (["stub", "--database", "a/b"], 'error: --database: "a/b" holds "/", which MongoDB forbids'),
        (["stub", "--collection", "system.users"], 'error: --collection: "system.users" is reserved'),
        (["stub", "--collection", "$cmd"], 'error: --collection: "$cmd" holds "$", which MongoDB forbids'),
        (["stub", "--uri", "db-1"], 'error: --uri: "db-1" is not a MongoDB address'),
        (["stub", "--tenant", "a\udcff"], "error: --tenant: its value is no text in UTF-8"),
    ],
)  # fmt: skip
def test_wrong_usage_is_exit_2_with_one_to_three_lines_and_nothing_on_stdout(
    cli: Cli, args: list[str], message: str
) -> None:
    ended = cli(*args)
    assert ended.code == 2
    assert ended.out == ""
    assert ended.err.startswith(message)
    assert 1 <= len(ended.err.splitlines()) <= 3
    assert "Traceback" not in ended.err
    assert "Usage:" not in ended.err


def test_everything_that_is_understood_reaches_the_command(cli: Cli) -> None:
    ended = cli(
        "stub", "name", "--tenant", "a", "--tenant=b", "--type", "order.*", "--state", "open", "--limit", "3",
        "--since", "2h", "--no-wait", "-o", "csv", "--uri", "mongodb://app:secret@h/shop", "--debug",
    )  # fmt: skip
    assert ended.code == 0
    for piece in (
        "tenant=['a', 'b']",
        "type=['order.*']",
        "limit=3",
        "'name'",
        "[<State.OPEN: 'open'>]",
        "False",
        "csv",
    ):
        assert piece in ended.out
    assert "secret" not in ended.out + ended.err


def test_what_users_code_prints_is_no_data(cli: Cli) -> None:
    ended = cli("stub")
    assert "a print of the user's code" not in ended.out
    assert "a print of the user's code" in ended.err


def test_a_file_that_cannot_be_used_is_a_usage_error(cli: Cli) -> None:
    with open("pyproject.toml", "w") as file:
        file.write("[tool.craft-events]\nurl = 'x'\n")
    ended = cli("stub")
    assert ended.code == 2
    assert "pyproject.toml" in ended.err


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\x1b]52;c;aGk=\x07", r"\x1b]52;c;aGk=\x07"),
        ("a\nb\tc", r"a\nb\tc"),
        ("\x7f\x9b", r"\x7f\x9b"),
        ("\u202eevil\u2066", r"\u202eevil\u2066"),
        ("[red]bold[/red]", "[red]bold[/red]"),
        ("\u2028\u2029\u200b", r"\u2028\u2029\u200b"),
        ("\U000e0041", r"\U000e0041"),
        ("\udcff", r"\udcff"),
    ],
)
@pytest.mark.parametrize("option", ["--limit", "--since", "-o", "--uri", "--no-such-", ""])
def test_a_hostile_value_is_shown_escaped(cli: Cli, option: str, value: str, shown: str) -> None:
    args = {"": [value], "--no-such-": ["stub", f"--no-such-{value}"]}.get(option, ["stub", option, value])
    ended = cli(*args)
    assert ended.code == 2
    assert shown.split("=")[0] in ended.err or "no text in UTF-8" in ended.err
    assert ended.err.replace("\n", "").isprintable()
    assert len(ended.err.splitlines()) <= 3


@pytest.mark.parametrize("mode", ["auto", "always", "never"])
def test_color_is_an_option_of_every_command(cli: Cli, mode: str) -> None:
    ended = cli("stub", "--help", "--color", mode)
    assert ("\x1b[" in ended.out) is (mode == "always")


def test_an_error_is_red_only_where_colour_is_asked_for(cli: Cli) -> None:
    assert cli("stub", "--no", "--color=always").err.startswith("\x1b[31;1merror:\x1b[0m no such option")
    assert cli("stub", "--no").err.startswith("error: no such option")
