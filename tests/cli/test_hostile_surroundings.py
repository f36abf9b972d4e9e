"""Hostile environments, configurations, streams and terminals: the exit code and the message of each."""

import os
import pty
import struct
import subprocess
import termios
from collections.abc import Callable
from contextlib import suppress
from fcntl import ioctl
from pathlib import Path

import pytest

from tests.cli.conftest import Cli, Process
from tests.cli.hostile_runs import ended, ended_properly
from tests.support.dead_letters import GRAVEYARD, HAUNTED, id_of
from tests.support.history import Log

pytestmark = [pytest.mark.slow, pytest.mark.waiting]


@pytest.fixture
def log(log: Log) -> Log:
    """A log with hostile records in it."""
    log.insert(*GRAVEYARD, HAUNTED)
    return log


FULL = Path("/dev/full")


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("CRAFT_EVENTS_URI", "\udcff", 'uri: "\\udcff" is not UTF-8 (from CRAFT_EVENTS_URI)'),
        ("CRAFT_EVENTS_URI", "mongodb://h\x1b/", "uri: holds a control character (from CRAFT_EVENTS_URI)"),
        ("CRAFT_EVENTS_DATABASE", "\x1b[31m/", 'database: "\\x1b[31m/" holds "/", which MongoDB forbids'),
        ("CRAFT_EVENTS_COLLECTION", "system.x", 'collection: "system.x" is reserved, as every system.* is'),
        ("CRAFT_EVENTS_ENV", "\x1b[31m", 'env: environment "\\x1b[31m" does not exist (from CRAFT_EVENTS_ENV)'),
        ("CRAFT_EVENTS_HANDLERS", "\x1b[31m", "the handler module \\x1b[31m cannot be imported"),
    ],
)
def test_a_hostile_variable_is_named(
    cli: Cli, shop: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv(variable, value)
    ended = cli("redispatch", *([] if "HANDLERS" in variable else ["-m", "shop"]))
    assert ended.code in (2, 5)
    assert ended.err.startswith(f"error: {message}")
    assert ended_properly(ended)


@pytest.mark.parametrize(
    ("columns", "term"),
    [
        *((columns, "dumb") for columns in ("", "0", "-5", "x", "٣", "1e9", "9" * 5_000, "20", "\x1b")),
        *(("20", term) for term in (None, "", "\x1b[31m", "no-such-terminal")),
    ],
)
def test_unusual_terminals_are_not_an_error(
    cli: Cli, log: Log, monkeypatch: pytest.MonkeyPatch, columns: str, term: str | None
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.delenv("TERM")
    if term is not None:
        monkeypatch.setenv("TERM", term)
    ended = cli("dead", "list", "-o", "table")
    assert ended.code == 0
    assert ended_properly(ended)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('"\\u001b[31m" = 1', "[tool.craft-events] \\x1b[31m: is not a setting"),
        ('"a\\nb" = 1', "[tool.craft-events] a\\nb: is not a setting"),
        (f'"{"k" * 5_000}" = 1', "[tool.craft-events] kkk"),
        ("uri = 1", "uri: must be a text"),
        ("uri = ['mongodb://h']", "uri: must be a text"),
        ("uri = 1979-05-27", "uri: must be a text"),
        ("uri = 'mongodb://app:sec/ret@h'", "uri: its user name or password holds a character that must be escaped"),
        ('uri = "mongodb://h\\u001b"', "uri: holds a control character"),
        (f"uri = 'mongodb://{'h' * 100_000}'", "uri: is 100,010 characters long, 16,384 are allowed"),
        ("database = true", "database: must be a text"),
        ('database = "a\\u0000b"', 'database: "a\\x00b" holds "\\x00", which MongoDB forbids'),
        ("collection = 1.5", "collection: must be a text"),
        ("collection = 'system.users'", 'collection: "system.users" is reserved'),
        ("uri-command = ['rm', '-rf', '/']", "[tool.craft-events] uri-command: is not a setting"),
        ("env = []", "[tool.craft-events] env: is not a table"),
        ('[tool.craft-events.env."\\u001b[31m"]', '[tool.craft-events] env: "\\x1b[31m" is not a valid name'),
        ("[tool.craft-events.env.prod]\nprotected = 'no'", "[tool.craft-events.env.prod] protected: must be true"),
        ("uri = 'a'\nuri = 'b'", "pyproject.toml: cannot be read: "),
        ("uri = ", "pyproject.toml: cannot be read: "),
        ("x = " + "[" * 100_000, "pyproject.toml: cannot be read: "),
        ("x = " + "9" * 10_000, "pyproject.toml: cannot be read: "),
        (f"handlers = ['{'x' * 10_000_000}']", "pyproject.toml: is larger than 1 MiB and was not read"),
        ("uri = '\x1b'", "pyproject.toml: cannot be read: "),
    ],
    ids=lambda one: repr(one)[:60],
)  # fmt: skip
def test_a_hostile_file_is_named(cli: Cli, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.craft-events]\n{text}\n")
    ended = cli("replay")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"error: {message}")
    assert f"(from {tmp_path}/pyproject.toml" in ended.err or len(ended.err) > 900
    assert ended_properly(ended)
    assert "sec/ret" not in ended.err


@pytest.mark.parametrize("key", ["handlers", "app-dir"])
@pytest.mark.parametrize("value", ["1", "[1]", "{}", "true"])
def test_a_file_with_odd_modules_is_named(cli: Cli, tmp_path: Path, key: str, value: str) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.craft-events]\n{key} = {value}\n")
    ended = cli("handlers", "list")
    assert ended.code == 2
    assert ended.err.startswith(f"error: {key}: must be a text")


@pytest.mark.parametrize("path", ["x" * 300, "a\\u0000b", "", "shop.py", "\\u001b[31m"])
def test_an_invalid_app_dir_in_a_file_is_named(cli: Cli, tmp_path: Path, path: str) -> None:
    (tmp_path / "shop.py").touch()
    (tmp_path / "pyproject.toml").write_text(f'[tool.craft-events]\nhandlers = "shop"\napp-dir = "no{path}"\n')
    ended = cli("handlers", "list")
    assert ended.code == 2
    assert ended.err.startswith(f'error: app-dir: "{tmp_path}/no'[:60])
    assert ended.err.endswith(f"is not a directory (from {tmp_path}/pyproject.toml)\n")
    assert ended_properly(ended)


@pytest.mark.parametrize("kind", ["directory", "pipe", "loop"])
def test_a_path_that_is_not_a_file_is_not_a_configuration(cli: Cli, tmp_path: Path, kind: str) -> None:
    file = tmp_path / "pyproject.toml"
    make: dict[str, Callable[[], None]] = {
        "directory": file.mkdir,
        "pipe": lambda: os.mkfifo(file),
        "loop": lambda: file.symlink_to(file),
    }
    make[kind]()
    assert cli("config", "show").code == 0


def test_a_directory_that_was_removed_is_a_clear_error(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    ended = cli("replay")
    assert ended.code == 2
    assert "current directory" in ended.err


WRITES = [
    ["replay", "-o", "ndjson"],
    ["replay", "-o", "json"],
    ["dead", "list", "-o", "csv"],
    ["show", id_of(1), "-o", "table"],
    ["stats", "--help"],
    ["--version"],
]


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
@pytest.mark.parametrize("args", WRITES, ids=" ".join)
def test_a_full_disk_is_one_clear_line(process: Process, log: Log, args: list[str]) -> None:
    with FULL.open("wb") as full:
        found = ended(process(*args, stdout=full))
    assert found.code == 1
    assert found.err.splitlines()[-1].endswith("No space left on device")


@pytest.mark.parametrize("args", WRITES, ids=" ".join)
def test_a_closed_stdout_is_not_an_error_for_a_reading_command(process: Process, log: Log, args: list[str]) -> None:
    found = ended(process(*args, stdout=None, preexec_fn=lambda: os.close(1)))
    assert found.code == 0
    assert "error: " not in found.err


@pytest.mark.parametrize("stdin", ["closed", "null"])
def test_without_a_stdin_no_question_is_asked_and_nothing_hangs(process: Process, log: Log, stdin: str) -> None:
    def close() -> None:
        if stdin == "closed":
            os.close(0)

    found = ended(process("dead", "retry", stdin=subprocess.DEVNULL, preexec_fn=close))
    assert found.code == 2
    assert found.err.startswith("error: this command asks before it acts, and there is no terminal to ask on\n")
    assert ended(process("replay", stdin=subprocess.DEVNULL, preexec_fn=close)).code == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"LC_ALL": "no_SUCH.locale"},
        {"LC_ALL": "POSIX", "PYTHONIOENCODING": "ascii"},
        {"HOME": None, "TERM": None, "LANG": None, "LC_ALL": None, "USER": None, "LOGNAME": None},
        {"HOME": "/nowhere", "TMPDIR": "/nowhere", "TERM": "dumb"},
        {"TZ": "no/such"},
    ],
    ids=str,
)
def test_odd_surroundings_change_nothing(
    cli: Cli, process: Process, log: Log, environment: dict[str, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = cli("replay", "-o", "ndjson").out
    for name, value in environment.items():
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert ended(process("replay")).out == expected
    for args, code in ((["dead", "list", "--tenant", "ÅÄ", "-o", "table"], 0), (["ÅÄ"], 2)):
        found = ended(process(*args))
        assert found.code == code
        assert ended_properly(found)


NARROW = [["stats"], ["trace", id_of(1)], ["doctor"], ["handlers", "list", "-m", "shop"]]
WIDTHS = [(["replay"], 1), (["replay"], 500), *((args, 20) for args in [["dead", "list"], ["show", id_of(2)], *NARROW])]


@pytest.mark.slow
@pytest.mark.parametrize(("args", "columns"), WIDTHS, ids=lambda one: one[0] if isinstance(one, list) else str(one))
def test_a_terminal_of_any_width_is_written_to(
    process: Process, shop: Path, log: Log, columns: int, args: list[str]
) -> None:
    reader, writer = pty.openpty()
    ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 10, columns, 0, 0))
    running = process(*args, stdout=writer, env={"TERM": "dumb"})
    os.close(writer)
    shown = b""
    with suppress(OSError):  # Linux reports the end of a terminal as an error
        while some := os.read(reader, 1 << 16):
            shown += some
    os.close(reader)
    assert ended(running).code in (0, 3)
    assert shown.decode().replace("\r", "").replace("\n", "").isprintable()
    assert shown
