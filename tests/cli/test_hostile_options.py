"""Hostile option values and arguments: the exit code and the message of each."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from craft_events_cli.completion import Parameter, label_of
from tests.cli.conftest import Cli
from tests.cli.hostile_runs import ended_properly
from tests.support.applications import REACT
from tests.support.commands import COMMANDS, parameters_of
from tests.support.dead_letters import GRAVEYARD, HAUNTED, id_of
from tests.support.history import HOSTILE, Log

pytestmark = [pytest.mark.slow, pytest.mark.waiting]

BASE = {
    "replay": [],
    "tail": ["--no-follow"],
    "show": [id_of(1)],
    "trace": [id_of(1)],
    "dead list": [],
    "dead retry": ["--yes"],
    "dead discard": ["--reason", "x", "--yes"],
    "pending": [],
    "workers": [],
    "stats": [],
    "doctor": ["-m", "shop"],
    "handlers list": ["-m", "shop"],
    "handlers show": ["shop:react", "-m", "shop"],
    "handlers check": ["-m", "shop"],
    "schema list": ["-m", "shop"],
    "schema show": ["user.registered", "-m", "shop"],
    "schema export": ["-m", "shop"],
    "schema check": ["--log", "-m", "shop"],
    "handlers pause": ["shop.mail:send", "--yes"],
    "handlers resume": ["shop.mail:send", "--yes"],
    "config show": [],
    "completion": ["bash"],
    "redispatch": ["-m", "shop", "--no-wait"],
    "export": [],
    "import": ["empty.ndjson", "--yes"],
    "publish": ["--type", "a.b"],
    "prune": ["--older-than", "90d", "--dry-run"],
    "redact": ["--tenant", "x", "--dry-run"],
}
"""A run of each command that ends by itself; an option with a hostile value is appended."""
ENDLESS = {"serve", "demo", "top", "metrics", "--watch"}
"""Commands, and options with a value, that make a run endless."""
RED = "\x1b[31mred"
VALUES = [
    "", "a\nb", "\udcff", "x" * 100_000, "٣", "-1", "1e9", "9" * 19, "999999999999999", "nan", "$cmd",
    "[red]\u202e", "9999-12-31", "9999999999d", "/",
]  # fmt: skip


@pytest.fixture
def shop(shop: Path) -> Path:
    """The same, and an empty file."""
    (shop / "empty.ndjson").touch()
    return shop


@pytest.fixture
def log(log: Log) -> Log:
    """A log with hostile records in it."""
    log.insert(*GRAVEYARD, HAUNTED)
    return log


def _distinct() -> list[tuple[str, Parameter]]:
    """Return every option and argument that takes a value, once, at the first command that has it in this form."""
    found: dict[tuple[str, str | None], tuple[str, Parameter]] = {}
    for words in BASE:
        for one in parameters_of(words):
            if not getattr(one, "is_flag", False) and label_of(one) not in ENDLESS:
                found.setdefault((label_of(one), one.help), (words, one))
    return list(found.values())


def test_every_command_that_ends_by_itself_is_tried() -> None:
    assert set(BASE) | ENDLESS - {"--watch"} == set(COMMANDS)


@pytest.mark.parametrize("words", BASE)
def test_the_runs_that_values_are_put_behind_are_good_ones(cli: Cli, shop: Path, log: Log, words: str) -> None:
    ended = cli(*words.split(), *BASE[words])
    assert ended.code in (0, 3), ended.err
    assert ended_properly(ended)


@pytest.mark.parametrize(
    ("words", "one", "values"),
    [(words, one, [RED, *VALUES[number % 5 :: 5]]) for number, (words, one) in enumerate(_distinct())],
    ids=lambda one: one if isinstance(one, str) else "" if isinstance(one, list) else label_of(one),
)
def test_no_value_is_unexpected(
    cli: Cli, shop: Path, log: Log, words: str, one: Parameter, values: Sequence[str]
) -> None:
    for value in values:
        args = [
            *words.split(),
            *BASE[words],
            *([f"{one.opts[0]}={value}"] if label_of(one).startswith("-") else ["--", value]),
        ]
        ended = cli(*args)
        assert ended_properly(ended), f"{args}: {ended}"
    assert log.events.count_documents({}) >= len(GRAVEYARD)


SMALL = "input should be greater than or equal to 1"
INTEGER = "input should be a valid integer"
DURATION = "is not a valid duration. Try 10, 30s or 5m"


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["replay", "--limit", "0"], 2, f"--limit: {SMALL}"),
        (["replay", "--limit", "-1"], 2, f"--limit: {SMALL}"),
        (["replay", "--limit", "1e9"], 2, f"--limit: {INTEGER}"),
        (["replay", "--limit", "٣"], 2, f"--limit: {INTEGER}"),
        (["replay", "--limit", "²"], 2, f"--limit: {INTEGER}"),
        (["replay", "--limit", str(2**63)], 2, f"limit: {2**63} is too large"),
        (["replay", "--limit", "9" * 5_000], 2, "--limit: unable to parse input string as an integer"),
        (["replay", "--limit", "1\n2"], 2, f"--limit: {INTEGER}"),
        (["replay", "--tenant", "\udcff"], 2, "tenant: the value is not valid UTF-8"),
        (["replay", "--since", "\udcff"], 2, '--since: "\\udcff" is not a valid time'),
        (["replay", "--since", "\x1b[2J"], 2, '--since: "\\x1b[2J" is not a valid time'),
        (["replay", "--since", "9" * 400], 2, '--since: "999'),
        (["replay", "--collection", "system.users"], 2, '--collection: "system.users" is reserved, as every'),
        (["replay", "--collection", "a.system.b"], 2, '--collection: "a.system.b" is reserved'),
        (["replay", "--collection", "$cmd"], 2, '--collection: "$cmd" holds "$", which MongoDB forbids'),
        (["replay", "--collection", ""], 2, "--collection: is empty"),
        (["replay", "--collection", "x" * 300], 2, "--collection: is "),
        (["replay", "--collection", "a\0b"], 2, '--collection: "a\\x00b" holds "\\x00", which MongoDB forbids'),
        (["replay", "--database", "admin"], 2, '--database: "admin" is a database of MongoDB itself'),
        (["replay", "--database", "$cmd"], 2, '--database: "$cmd" holds "$", which MongoDB forbids'),
        (["replay", "--database", ""], 2, "--database: is empty"),
        (["replay", "--database", "x" * 300], 2, "--database: 300 bytes are too long, 63 are allowed"),
        (["replay", "--database", "a\0b"], 2, '--database: "a\\x00b" holds "\\x00", which MongoDB forbids'),
        (["replay", "--uri", ""], 2, "--uri: is empty"),
        (["replay", "--uri", "mongodb://h\x1b[31m/"], 2, "--uri: holds a control character"),
        (["replay", "--uri", "mongodb://h/\0"], 2, "--uri: holds a control character"),
        (["replay", "--uri", "mongodb://" + "h" * 100_000], 2, "--uri: is 100,010 characters long, 16,384 are allowed"),
        (["replay", "--uri", "embedded:"], 2, "--uri: names no directory"),
        (["replay", "--uri", "embedded:a\0b"], 2, "--uri: names no directory"),
        (["replay", "--uri", "mongodb://h:99999999/"], 2, "--uri: its port is not a number, or its password holds"),
        (["replay", "--env", "\x1b[31m"], 2, '--env: environment "\\x1b[31m" does not exist'),
        (["replay", "-o", "\x1b[31m"], 2, "--output: '\\x1b[31m' is not one of 'table', 'ndjson'"),
        (["replay", "--color", "\u202e"], 2, "--color: '\\u202e' is not one of 'auto', 'always'"),
        (["redispatch", "--concurrency", "0", "-m", "shop"], 2, f"--concurrency: {SMALL}"),
        (["redispatch", "--lease", "-1", "-m", "shop"], 2, f'--lease: "-1" {DURATION}'),
        (["redispatch", "--lease", "1e9", "-m", "shop"], 2, f'--lease: "1e9" {DURATION}'),
        (["redispatch", "--lease", "2d", "-m", "shop"], 2, '--lease: "2d" is too long, the maximum is a day'),
        (["redispatch", "--lease", "0", "-m", "shop"], 2, "--lease: the minimum is a second"),
        (["redispatch", "--timeout", "nan", "-m", "shop"], 2, f'--timeout: "nan" {DURATION}'),
        (["redispatch", "-m", "\x1b[31m"], 5, "the handler module \\x1b[31m cannot be imported"),
        (["redispatch", "-m", "shop", "--handler", "\x1b"], 3, "no handler '\\x1b' is loaded"),
        (["redispatch", "-m", ","], 2, "no handler module is named"),
        (["handlers", "list", "-m", "../shop"], 5, "the handler module ../shop cannot be imported"),
        (["handlers", "list", "-m", "shop", "--app-dir", "a" * 300], 2, "--app-dir: dir 'aaa"),
        (["handlers", "list", "-m", "shop", "--app-dir", "shop.py"], 2, "--app-dir: dir 'shop.py' is a file"),
        (["show", "\x1b[31m"], 3, "there is no event \\x1b[31m in "),
        (["show", "x" * 100_000], 3, "there is no event xxx"),
        (["dead", "discard", "--reason", " ", "--yes"], 2, "--reason: the reason is empty"),
        (["completion", "\x1b"], 2, "SHELL: '\\x1b' is not one of 'bash', 'zsh', 'fish'"),
        (["serve", "x" * 300], 2, "directory: xxx"),
        (["serve", "d", "--port", "0"], 2, '--port: "0" is not a port: 1 to 65535'),
        (["serve", "d", "--port", "65536"], 2, '--port: "65536" is not a port: 1 to 65535'),
        (["serve", "d", "--port", "٣"], 2, '--port: "٣" is not a port: 1 to 65535'),
        (["serve", "shop.py"], 2, "DIR: dir 'shop.py' is a file"),
        (["\x1b[31m"], 2, "no such command '\\x1b[31m'"),
        (["replay", "--\x1b[31m"], 2, "no such option: --\\x1b[31m"),
        (["replay", "--ten\nant"], 2, "no such option: --ten\\x0aant. Did you mean --tenant?"),
        (["replay", "\x1b[31m"], 2, "got unexpected extra argument(s) (\\x1b[31m)"),
    ],
    ids=lambda one: repr(one)[:60],
)  # fmt: skip
def test_a_hostile_value_ends_with_its_code_and_a_clear_error(
    cli: Cli, shop: Path, log: Log, args: list[str], code: int, message: str
) -> None:
    ended = cli(*args)
    assert (ended.code, ended.out) == (code, "")
    [line] = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert line.removeprefix("error: ").removeprefix(str(shop) + "/").startswith(message)
    assert ended_properly(ended) or code == 4


RUN = ["replay", "-m", "shop", "--all-handlers", "--yes"]
PRUNE = ["prune", "--older-than", "90d", "--yes", "--archive"]


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        ([*RUN, "--checkpoint", "dir"], 6, "the checkpoint {here}/dir cannot be written: is a directory"),
        ([*RUN, "--checkpoint", "shop.py/x"], 6, "the checkpoint {here}/shop.py/x cannot be written: not a directory"),
        ([*RUN, "--checkpoint", "no/x"], 6, "the checkpoint {here}/no/x cannot be written: no such file or directory"),
        ([*RUN, "--checkpoint", "/proc/x"], 6, "the checkpoint /proc/x cannot be written: no such file or directory"),
        ([*RUN, "--checkpoint", "/dev/full"], 6, "/dev/full is not a file on a disk"),
        ([*RUN, "--checkpoint", "shop.py"], 6, "{here}/shop.py is not a checkpoint"),
        ([*RUN, "--failures-out", "dir"], 2, "--failures-out: dir cannot be written: is a directory"),
        ([*RUN, "--failures-out", "/proc/x"], 2, "--failures-out: /proc/x cannot be written: no such file"),
        (["redispatch", "-m", "shop", "--ids-from", "dir"], 2, "--ids-from: dir: Is a directory"),
        (["redispatch", "-m", "shop", "--ids-from", "no/x"], 2, "--ids-from: no/x: No such file or directory"),
        (["export", "dir"], 2, "dir: is a directory, not a file to write"),
        (["export", "no/x"], 2, "no/x: cannot be written: the directory does not exist"),
        (["export", "/proc/x"], 2, "/proc/x: cannot be written: no such file or directory"),
        (["export", "/dev/full"], 1, "/dev/full cannot be written: no space left on device"),
        (["export", "shop.py"], 2, "shop.py: exists already"),
        (["import", "dir", "--yes"], 2, "dir: is a directory, not a file of events"),
        (["import", "no/x", "--yes"], 2, "no/x: cannot be read: no such file or directory"),
        (["import", "one", "--yes", "--rejects", "dir"], 2, "--rejects: dir cannot be written: is a directory"),
        ([*PRUNE, "no/x"], 1, "no/x cannot be opened: No such file or directory"),
        ([*PRUNE, "/dev/full"], 1, "/dev/full is not a regular file"),
    ],
    ids=lambda one: " ".join(one[-2:]) if isinstance(one, list) else "",
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_named_and_the_log_stays_as_it_was(
    cli: Cli, shop: Path, log: Log, args: list[str], code: int, message: str
) -> None:
    (shop / "dir").mkdir()
    (shop / "one").write_text('{"event_type": "a.b", "event_id": "1", "timestamp": "2026-01-31T10:00:00Z"}\n')
    before = list(log.events.find())
    ended = cli(*args)
    assert (ended.code, ended.out) == (code, "")
    [line] = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert line.startswith(f"error: {message.format(here=shop)}")
    assert ended_properly(ended) or code == 1
    assert list(log.events.find()) == before
    assert (shop / "shop.py").read_text() == REACT


@pytest.mark.parametrize("value", [HOSTILE, "[red]", "$where", "=1+1", "x" * 10_000, "ÅÄÖ 😀", "a" * 200 + "\x1b"])
def test_any_text_may_be_looked_for(cli: Cli, log: Log, value: str) -> None:
    for option, output in (("--tenant", "table"), ("--type", "ndjson"), ("--actor", "csv")):
        ended = cli("replay", option, value, "-o", output)
        assert ended.code == 0
        assert ended_properly(ended)


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["redispatch", "-m", "shop", "--ids-from", "-"], 0),
        (["publish", "--type", "order.placed", "--data", "-"], 2),
        (["publish", "-"], 0),
        (["import", "-", "--yes"], 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_standard_input_that_is_closed_is_empty(
    cli: Cli, log: Log, shop: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], code: int
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    ended = cli(*args)
    assert ended.code == code, ended.err
    assert "unexpected" not in ended.err


@pytest.mark.parametrize(
    "args",
    [
        ["serve", "~nobody-at-all/x"],
        ["replay", "--uri", "embedded:~nobody-at-all"],
        ["tail", "--checkpoint", "~nobody-at-all/x"],
    ],
    ids=" ".join,
)
def test_a_home_directory_that_does_not_exist_is_a_usage_error(cli: Cli, log: Log, args: list[str]) -> None:
    ended = cli(*args)
    assert (ended.code, ended.out) == (2, "")
    assert "there is no such home directory" in ended.err


@pytest.mark.parametrize(
    "args", [["tail", "-n"], ["replay", "--limit"], ["redispatch", "--concurrency"], ["serve", "d", "--port"]]
)
def test_digits_without_end_are_a_usage_error_of_ours(cli: Cli, args: list[str]) -> None:
    ended = cli(*args, "9" * 5_000)
    assert ended.code == 2
    assert "set_int_max_str_digits" not in ended.err
    assert len(ended.err) < 400
