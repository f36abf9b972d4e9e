"""The Typer application: options that it parses, commands that it runs, and errors of usage."""

import re

import pytest
from typer.testing import CliRunner

from craft_events_cli import __version__, app
from tests.cli.conftest import Cli
from tests.support.commands import GROUPS


@pytest.mark.parametrize("args", [("--version",), ("--version", "stats")])
def test_the_version_is_data_on_stdout(cli: Cli, args: tuple[str, ...]) -> None:
    ended = cli(*args)
    assert (ended.code, ended.out, ended.err) == (0, f"craft-events {__version__}\n", "")


def test_the_app_runs_as_any_typer_app_does() -> None:
    runner = CliRunner()
    assert "redispatch" in runner.invoke(app.app, ["--help"]).stdout
    ended = runner.invoke(app.app, ["replay", "--tennant", "x"])
    assert ended.exit_code == 2
    assert "--tenant" in ended.output


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_needs_a_command(cli: Cli, group: str) -> None:
    ended = cli(group)
    assert (ended.code, ended.out) == (2, "")
    assert f"craft-events {group} --help" in ended.err


@pytest.mark.parametrize(
    ("args", "message", "hint"),
    [
        (["replya"], "no such command 'replya'. Did you mean 'replay'?", "see craft-events --help"),
        (["dead", "rtry"], "no such command 'rtry'. Did you mean 'retry'?", "see craft-events dead --help"),
        (["handlers", "lst"], "no such command 'lst'. Did you mean 'list'?", "see craft-events handlers --help"),
        (["qqqq"], "no such command 'qqqq'", "see craft-events --help"),
        ([""], "no such command ''", "see craft-events --help"),
        (["-"], "no such command '-'", "see craft-events --help"),
        (["x" * 100_000], "no such command 'xxx", "see craft-events --help"),
        (["--uri", "x", "replay"], "no such option: --uri", "options come after the command, as in: craft-events"),
        (["dead", "--tenant", "x", "list"], "no such option: --tenant", "as in: craft-events dead list --tenant"),
        (["dead", "list", "--tenant"], "option '--tenant' requires an argument", "see craft-events dead list --help"),
        (["prune", "--older-than"], "option '--older-than' requires an argument", "see craft-events prune --help"),
        (["--color"], "option '--color' requires an argument", "see craft-events --help"),
        (["dead", "--color"], "option '--color' requires an argument", "see craft-events dead --help"),
        (["stub", "--tennant", "acme"], "no such option: --tennant. Did you mean --tenant?", "see craft-events stub"),
        (["stub", "--tennant=acme"], "no such option: --tennant. Did you mean --tenant?", "see craft-events stub"),
        (["stub", "--zzzzzz"], "no such option: --zzzzzz", "see craft-events stub --help"),
        (["stub", "-z"], "no such option: -z", "see craft-events stub --help"),
        (["stub", "--tenant"], "option '--tenant' requires an argument", "see craft-events --help"),
        (["stub", "--wait=1"], "option '--wait' does not take a value", "see craft-events --help"),
        (["stub", "a", "b"], "got unexpected extra argument(s) (b)", "see craft-events stub --help"),
        (["fail"], "missing argument 'KIND'", "see craft-events fail --help"),
        (["completion"], "missing argument 'SHELL'", "see craft-events completion --help"),
        (["prune"], "missing option '--older-than'", "see craft-events prune --help"),
        (["stub", "-o", "xml"], "--output: 'xml' is not one of 'table', 'ndjson', 'json', 'csv'", "see craft-events"),
        (["stub", "--color", "pink"], "--color: 'pink' is not one of 'auto', 'always', 'never'", "see craft-events"),
        (["stub", "--state", "opne"], "--state: 'opne' is not one of 'open', 'dead', 'done'", "see craft-events"),
        (["completion", "bsh"], "SHELL: 'bsh' is not one of 'bash', 'zsh', 'fish'", "see craft-events completion"),
        (["stub", "--limit", "-1"], "--limit: input should be greater than or equal to 1", "see craft-events stub"),
        (["stub", "--limit", "0"], "--limit: input should be greater than or equal to 1", "see craft-events stub"),
        (["stub", "--limit", "٣"], "--limit: input should be a valid integer", "see craft-events stub --help"),
        (["stub", "--limit", "9" * 20], "limit: 99999999999999999999 is too large", ""),
        (["stub", "--since", "soonish"], '--since: "soonish" is ', "see craft-events stub --help"),
        (["stub", "--since", "1h", "--until", "2h"], "the window is empty: ", ""),
        (["stub", "--since", "2026-01-02", "--until", "2026-01-02"], "the window is empty: ", ""),
        (["stub", "--type", ""], "--type: an empty pattern matches nothing", "see craft-events stub --help"),
        (["stub", "--database", "a/b"], '--database: "a/b" ', ""),
        (["stub", "--collection", "system.users"], '--collection: "system.users" is reserved', ""),
        (["stub", "--uri", "db-1"], '--uri: "db-1" is not a MongoDB address', ""),
        (["stub", "--tenant", "a\udcff"], "tenant: the value is not valid UTF-8", ""),
    ],
    ids=lambda one: " ".join(one)[:60] if isinstance(one, list) else "",
)  # fmt: skip
def test_wrong_usage_is_exit_2_with_one_to_three_lines_and_nothing_on_stdout(
    cli: Cli, args: list[str], message: str, hint: str
) -> None:
    ended = cli(*args)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"error: {message}")
    assert hint in ended.err
    assert 1 <= len(ended.err.splitlines()) <= 3
    assert len(ended.err) < 1_300
    assert not re.search("Traceback|Usage:|╭", ended.err)


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


@pytest.mark.parametrize("flag", ["-m", "--module", "--handlers"])
def test_a_handler_module_is_named_by_any_of_three_flags(cli: Cli, flag: str) -> None:
    ended = cli("config", "show", flag, "shop.handlers", "-o", "ndjson")
    assert '"setting":"handlers","value":["shop.handlers"],"origin":"--module"' in ended.out


def test_redact_is_still_reached_by_the_name_that_it_had(cli: Cli) -> None:
    assert cli("prune", "redact").err == cli("redact").err
    assert "craft-events redact" in cli("prune", "redact", "--help").out


@pytest.mark.parametrize("words", [["--debug", "fail"], ["fail", "--debug"]])
def test_debug_may_stand_before_the_command(cli: Cli, words: list[str]) -> None:
    assert cli(*words, "ValueError").err.startswith("Traceback (most recent call last):\n")


@pytest.mark.parametrize("group", ["", *GROUPS])
def test_color_may_stand_before_the_command(cli: Cli, group: str) -> None:
    assert "\x1b[" in cli(*group.split(), "--color", "always", "--help").out


def test_output_of_user_code_is_not_data(cli: Cli) -> None:
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
    assert (
        shown.split("=")[0] in ended.err or "UTF-8" in ended.err or option == "--limit" or r"a\x0ab\x09c" in ended.err
    )
    assert ended.err.replace("\n", "").isprintable()
    assert len(ended.err.splitlines()) <= 3


def test_an_error_is_red_only_with_colour(cli: Cli) -> None:
    assert cli("stub", "--no", "--color=always").err.startswith("\x1b[31;1merror:\x1b[0m no such option")
    assert cli("stub", "--no").err.startswith("error: no such option")
