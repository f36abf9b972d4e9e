"""A name with a typo in it is not all clear: the log that it names does not exist, and similar ones are named."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Cli, Process
from tests.support.applications import application
from tests.support.conditions import until
from tests.support.history import Log, opened, record

EVENT_ID = "019abf3e-0000-7000-8000-000000000001"
READING = (
    ("show", EVENT_ID),
    ("trace", EVENT_ID),
    ("replay",),
    ("export",),
    ("stats",),
    ("stats", "--max-backlog", "10"),
    ("dead", "list"),
    ("dead", "list", "--by", "error"),
    ("workers",),
    ("tail", "--no-follow"),
    ("doctor",),
    ("handlers", "check", "-m", "no_handlers"),
)
ACTING = (
    ("redispatch", "-m", "no_handlers"),
    ("redispatch", "-m", "no_handlers", "--dry-run"),
    ("dead", "retry", "--yes"),
    ("dead", "discard", "--yes", "--reason", "gone"),
    ("prune", "--older-than", "30d", "--no-archive", "--yes"),
    ("redact", "--tenant", "acme", "--yes", "--reason", "asked"),
)


def words(command: tuple[str, ...]) -> str:
    return " ".join(command)


@pytest.fixture
def log(embedded_uri: str, database_name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Log]:
    monkeypatch.setenv("CRAFT_EVENTS_URI", embedded_uri)
    monkeypatch.setenv("CRAFT_EVENTS_DATABASE", database_name)
    source = "from craft_easy.core.events import event_handler\n\n@event_handler('none')\ndef none(event): ...\n"
    with opened(embedded_uri, database_name) as log, application(tmp_path, {"no_handlers.py": source}):
        log.insert(record(1))
        yield log


@pytest.mark.parametrize("command", [*READING, *ACTING], ids=words)
def test_a_typo_in_the_name_of_the_collection_is_not_all_clear(cli: Cli, log: Log, command: tuple[str, ...]) -> None:
    ended = cli(*command, "--collection=event_logg")
    assert ended.code == 3
    said = ended.err if command[0] != "doctor" else ended.out
    assert f"there is no collection event_logg in {log.database} (there is event_log)" in said
    assert log.client[log.database].list_collection_names() == ["event_log"]


def test_a_typo_in_the_name_of_the_database_names_the_one_that_has_the_log(cli: Cli, log: Log) -> None:
    typo = f"{log.database}x"
    ended = cli("stats", f"--database={typo}")
    assert (ended.code, ended.out) == (3, "")
    there_is = f"there is no collection event_log in {typo} (there is "
    assert there_is in ended.err
    assert f"{log.database}.event_log" in ended.err
    assert typo not in log.client.list_database_names()


@pytest.mark.parametrize("command", [READING[4], READING[10], ACTING[0]], ids=words)
def test_reading_creates_no_embedded_log(cli: Cli, log: Log, tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "events").mkdir()
    (tmp_path / "events" / "craft-events.lock").touch()
    ended = cli(*command, "--uri", f"embedded:{tmp_path}/event")
    assert ended.code == 3
    said = ended.err if command[0] != "doctor" else ended.out
    assert f"there is no embedded event log in {tmp_path}/event (there is events)" in " ".join(said.split())
    assert not (tmp_path / "event").exists()


def test_doctor_creates_the_log_with_fix_and_is_content_afterwards(cli: Cli, log: Log) -> None:
    assert cli("doctor", "--collection=orders", "--fix").code == 0
    assert cli("doctor", "--collection=orders").code == 0


def test_a_first_publish_begins_the_log(cli: Cli, log: Log) -> None:
    assert cli("publish", "--type", "order.placed", "--collection=orders").code == 0
    assert cli("stats", "--collection=orders").code == 0


def test_a_watch_waits_for_a_log_that_does_not_exist_yet(process: Process, cli: Cli, log: Log, tmp_path: Path) -> None:
    run = process("redispatch", "--watch", "-m", "no_handlers", "--collection=orders")
    try:
        assert run.stderr is not None
        os.set_blocking(run.stderr.fileno(), False)
        said = b""

        def has_said(words: bytes) -> bool:
            nonlocal said
            said += run.stderr.read() or b""  # type: ignore[union-attr]
            return words in said

        until(lambda: has_said(b"there is no collection orders"), seconds=30)
        assert "orders_workers" not in log.client[log.database].list_collection_names()
        assert cli("publish", "--type", "order.placed", "--collection=orders").code == 0
        until(lambda: "orders_workers" in log.client[log.database].list_collection_names(), seconds=30)
    finally:
        run.terminate()
        run.communicate()
    assert run.returncode == 143
