"""Environments on the command line: the choice, and the confirmation of a protected one."""

import os
import signal
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import pytest

from tests.cli.conftest import Cli, Process
from tests.support.applications import REACT, application
from tests.support.commands import COMMANDS
from tests.support.dead_letters import GRAVEYARD, id_of, states
from tests.support.history import Log, opened
from tests.support.terminals import at_a_terminal

ACTING = {
    "redispatch": ["redispatch", "-m", "shop"],
    "dead retry": ["dead", "retry", "--yes"],
    "dead discard": ["dead", "discard", "--reason", "x", "--yes"],
    "replay": ["replay", "-m", "shop", "--all-handlers", "--yes", "--cascade"],
    "publish": ["publish", "--type", "order.placed"],
    "import": ["import", "one.ndjson", "--yes"],
    "prune": ["prune", "--older-than", "90d", "--archive", "archive.ndjson", "--yes"],
    "redact": ["redact", "--tenant", "acme", "--yes"],
    "doctor": ["doctor", "--fix"],
    "handlers pause": ["handlers", "pause", "shop.mail:send", "--yes"],
    "handlers resume": ["handlers", "resume", "shop.mail:send", "--yes"],
}
"""Every command that acts, with options that make it act in an environment that is not protected."""


@pytest.fixture
def log(embedded_uri: str, database_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    """A log with something to do for each command, for the environments `prod` and `dev`."""
    (tmp_path / "one.ndjson").write_text(
        '{"event_type": "a.b", "event_id": "1", "timestamp": "2026-01-31T10:00:00Z"}\n'
    )
    (tmp_path / "pyproject.toml").write_text(
        f"[tool.craft-events]\ndatabase = '{database_name}'\n"
        "[tool.craft-events.env.prod]\nprotected = true\nuri-env = 'PROD_URI'\n"
        f"[tool.craft-events.env.dev]\nuri = '{embedded_uri}'\n"
    )
    monkeypatch.setenv("PROD_URI", embedded_uri)
    with opened(embedded_uri, database_name) as log, application(tmp_path, {"shop.py": REACT}):
        log.insert(*GRAVEYARD)
        log.client[log.database]["event_log_handlers"].insert_one({"_id": "shop.mail:send"})
        yield log


def everything(log: Log) -> list[object]:
    """Return the content of the log, its indexes and pauses included."""
    pauses = log.client[log.database]["event_log_handlers"].find()
    return [*log.events.find().sort("_id", 1), *log.events.list_indexes(), *pauses]


def test_every_command_with_an_environment_option_is_tested_here() -> None:
    acting = {words for words, command in COMMANDS.items() if "--confirm-env" in command.flags}
    assert acting == set(ACTING)


@pytest.mark.parametrize("words", ACTING)
def test_without_a_terminal_a_protected_environment_is_not_acted_on(cli: Cli, log: Log, words: str) -> None:
    before, files = everything(log), set(Path().iterdir())
    ended = cli(*ACTING[words], "--env", "prod")
    assert (ended.code, ended.out) == (2, "")
    assert "prod is protected" in ended.err
    assert "--confirm-env prod" in ended.err
    assert everything(log) == before
    assert set(Path().iterdir()) == files


@pytest.mark.parametrize(("words", "name"), [*zip(ACTING, cycle(["dev", "", "prod "]))])
def test_another_name_does_not_confirm(cli: Cli, log: Log, words: str, name: str) -> None:
    before = everything(log)
    ended = cli(*ACTING[words], "--env", "prod", "--confirm-env", name)
    assert ended.code == 2
    assert ended.err.startswith(f'error: --confirm-env: "{name}" is not the environment: this is prod\n')
    assert everything(log) == before


@pytest.mark.parametrize("words", ACTING)
def test_the_given_name_confirms_every_command(cli: Cli, log: Log, words: str) -> None:
    ended = cli(*ACTING[words], "--env", "prod", "--confirm-env", "prod")
    assert ended.code in (0, 3)
    assert "protected" not in ended.err


def test_a_confirmation_without_an_environment_is_refused(cli: Cli, log: Log) -> None:
    ended = cli("dead", "retry", "--yes", "--confirm-env", "prod")
    assert ended.code == 2
    assert 'error: --confirm-env: "prod" is not the environment: no environment is chosen\n' in ended.err


@pytest.mark.parametrize("args", [["--env", "prod", "--confirm-env", "prod"], ["--env", "dev"]])
def test_a_name_that_is_given_and_an_environment_that_is_not_protected_are_acted_on(
    cli: Cli, log: Log, args: list[str]
) -> None:
    assert cli("dead", "retry", id_of(1), "--yes", *args).code == 0
    assert states(log, 1) == ["done", "pending"]


def test_the_variable_chooses_a_protected_environment_too(cli: Cli, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRAFT_EVENTS_ENV", "prod")
    assert cli("dead", "retry", "--yes").err.startswith("error: prod is protected")
    assert cli("dead", "retry", id_of(1), "--yes", "--env", "dev").code == 0


def test_an_environment_with_an_overridden_address_is_protected_too(cli: Cli, log: Log) -> None:
    assert cli("dead", "retry", "--yes", "--env", "prod", "--uri", log.uri).err.startswith("error: prod is protected")


def test_reading_commands_and_dry_runs_ask_nothing(cli: Cli, log: Log) -> None:
    assert cli("dead", "list", "--env", "prod").code == 0
    assert cli("replay", "--env", "prod").code == 0
    assert cli("dead", "retry", "--env", "prod", "--dry-run").code == 0


def test_a_variable_that_overrides_the_environment_causes_a_warning(
    cli: Cli, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRAFT_EVENTS_URI", log.uri)
    ended = cli("dead", "list", "--env", "dev")
    assert ended.err.startswith("warning: CRAFT_EVENTS_URI overrides the uri of dev\n")


@pytest.mark.parametrize(
    ("typed", "code", "said"),
    [
        ("prod\n", 0, "1 delivery of 1 event has a fresh budget"),
        ("  prod \n", 0, "1 delivery of 1 event has a fresh budget"),
        ("yes\n", 2, "that was not prod: nothing was done"),
        ("\n", 2, "that was not prod: nothing was done"),
        ("\x04", 2, "that was not prod: nothing was done"),
        (b"\xff\n", 2, "that was not prod: nothing was done"),
    ],
)
def test_the_name_can_be_typed(
    process: Process, log: Log, monkeypatch: pytest.MonkeyPatch, typed: str | bytes, code: int, said: str
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8:strict")
    with at_a_terminal(process, "dead", "retry", id_of(1), "--yes", "--env", "prod") as person:
        person.waits_for("Type its name to go on: ")
        assert f"prod is protected, and this command acts on {log.database}.event_log at 127.0.0.1:" in person.said
        os.write(person.terminal, typed if isinstance(typed, bytes) else typed.encode())
        assert person.ended()[0] == code
        assert said in person.said
    assert states(log, 1) == ["done", "pending" if code == 0 else "dead"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_question(process: Process, log: Log, number: signal.Signals, code: int) -> None:
    with at_a_terminal(process, "dead", "retry", "--yes", "--env", "prod") as person:
        person.waits_for("Type its name to go on: ")
        person.process.send_signal(number)
        assert person.ended() == (code, "")
        assert person.said.endswith("Type its name to go on: \r\n")
    assert states(log, 1) == ["done", "dead"]
