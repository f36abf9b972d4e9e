"""`doctor`: a line for each check, advice, and an exit code for probes."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from craft_easy.core.events import checkpoint
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.store.queries import server
from tests.cli.conftest import Cli, Golden
from tests.cli.deliveries import delivery, entry
from tests.support.applications import application
from tests.support.history import HOSTILE, Log, record

MODULES = {
    "shop/__init__.py": "",
    "shop/handlers.py": """
from craft_easy.core.events import event_handler

@event_handler("order.*", id="shop.billing:charge")
async def charge(event): ...
""",
    "broken.py": "raise RuntimeError('no gateway')",
}
OPEN = record(1, event_type="order.placed", delivery=delivery("open", entry("shop.billing:charge", "pending", 0)))
LEGACY = record(2, event_type="order.paid", delivery=delivery("open", entry("shop.legacy:sync", "pending", 0)))


@pytest.fixture
def log(log: Log, tmp_path: Path, cli: Cli) -> Iterator[Log]:
    with application(tmp_path, MODULES):
        log.insert(OPEN)
        assert cli("doctor", "--fix").code == 0
        yield log


def settled(text: str, log: Log) -> str:
    """Replace the words that differ from run to run."""
    return text.replace(log.database, "DATABASE")


@pytest.fixture
def fixed_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fix the facts and the latency of the server."""

    async def facts(_: EventStore) -> server.ServerFacts:
        return server.ServerFacts(
            where="db-1:27017",
            product="MongoDB",
            version="8.0.4",
            topology="replica set",
            set_name="rs0",
            is_embedded=False,
            is_writable=True,
            latency_ms=1.2,
        )

    async def acknowledge(_: EventStore) -> float:
        return 2.5

    async def clock_offset(_: EventStore) -> server.ClockOffset:
        return server.ClockOffset(timedelta(milliseconds=-4), timedelta(milliseconds=1))

    monkeypatch.setattr(server, "facts", facts)
    monkeypatch.setattr(server, "acknowledge", acknowledge)
    monkeypatch.setattr(server, "clock_offset", clock_offset)


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_table_shows_each_finding_with_its_advice(
    cli: Cli,
    log: Log,
    fixed_server: None,
    golden: Golden,
    monkeypatch: pytest.MonkeyPatch,
    columns: int,
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    log.insert(LEGACY, record(3, event_type="mail.sent"))
    log.events.drop_index("event_id_1")
    ended = cli("doctor", "-m", "shop.handlers", "-o", "table")
    assert ended.code == 3
    golden(f"doctor-{columns}.table", ended.out)
    assert settled(ended.err, log) == "DATABASE.event_log: 1 failure, 3 warnings\n"


def test_a_healthy_log_ends_with_0(cli: Cli, log: Log) -> None:
    ended = cli("doctor", "-m", "shop.handlers", "--strict")
    assert ended.code == 0
    assert settled(ended.err, log) == "DATABASE.event_log: all is well: 12 checks\n"
    assert "craft-events doctor -m MODULE" in cli("doctor").err


def test_the_command_in_the_advice_about_untracked_records_can_be_pasted(cli: Cli, log: Log) -> None:
    log.insert(record(3, event_type="mail.sent"))
    (records,) = [one for one in json.loads(cli("doctor", "-o", "json").out) if one["check"] == "records"]
    assert "craft-events redispatch -m MODULE --include-untracked --since TIME" in records["advice"]


def test_every_format_has_the_same_content(cli: Cli, log: Log) -> None:
    log.events.drop_index("event_id_1")
    lines = [json.loads(line) for line in cli("doctor").out.splitlines()]
    array = json.loads(cli("doctor", "-o", "json").out)
    table, rows = cli("doctor", "-o", "table").out, cli("doctor", "-o", "csv").out.splitlines()
    assert rows[0] == "check,level,message,advice,details"
    assert len(rows) == len(array) + 1
    for one, other in zip(lines, array, strict=True):
        assert list(one) == ["check", "level", "message", "advice", "details"]
        assert (one["check"], one["level"]) == (other["check"], other["level"])
        assert re.search(f"{one['level']} +{one['check']}", table)
    (indexes,) = [one for one in array if one["check"] == "indexes"]
    assert indexes["details"]["missing"] == ["event_id_1"]


def test_a_warning_ends_with_3_with_strict(cli: Cli, log: Log) -> None:
    log.events.drop_index("event_id_1")
    assert cli("doctor").code == 0
    assert cli("doctor", "--strict").code == 3
    assert cli("doctor", "--strict", "--fix").code == 0
    assert cli("doctor", "--strict").code == 0


def test_a_module_that_cannot_be_loaded_is_a_finding_and_the_rest_is_still_looked_at(cli: Cli, log: Log) -> None:
    ended = cli("doctor", "-m", "broken", "-o", "json")
    first, *rest = json.loads(ended.out)
    assert ended.code == 3
    assert (first["check"], first["level"]) == ("handler modules", "FAIL")
    assert "no gateway" in first["message"]
    assert {"indexes", "records"} <= {one["check"] for one in rest}


@pytest.mark.parametrize("output", ["table", "ndjson", "json", "csv"])
def test_a_server_that_cannot_be_reached_ends_with_4_and_shows_the_steps(cli: Cli, log: Log, output: str) -> None:
    uri = "mongodb://app:secret@127.0.0.1:9/"
    ended = cli("doctor", "--uri", uri, "--within", "0.2", "-m", "shop.handlers", "-o", output)
    assert ended.code == 4
    assert all(step in ended.out for step in ("handler modules", "address", "dns", "tcp", "connection refused"))
    assert ended.err.endswith("the address came from --uri\n")
    assert "secret" not in ended.out + ended.err


def test_checkpoints_are_looked_at_too(cli: Cli, log: Log, tmp_path: Path) -> None:
    name = f"{log.database}.event_log"
    checkpoint.Checkpoint(tmp_path / "tail.checkpoint", kind="tail", log=name, filters={}).write({"after": 1})
    ended = cli("doctor", "--checkpoint", "tail.checkpoint", "--checkpoint", "nowhere", "-o", "json")
    there, missing = [one for one in json.loads(ended.out) if one["check"] == "checkpoint"]
    assert (there["level"], there["details"]["kind"]) == ("OK", "tail")
    assert (missing["level"], ended.code) == ("FAIL", 3)


def test_a_variable_that_overrides_the_environment_is_a_warning(cli: Cli, log: Log, tmp_path: Path) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_text('[tool.craft-events.env.prod]\nuri = "mongodb://app:secret@127.0.0.1:9/"\n')
    ended = cli("doctor", "--env", "prod", "-o", "json")
    [found] = [one for one in json.loads(ended.out) if one["check"] == "configuration"]
    assert (found["level"], "CRAFT_EVENTS_URI" in found["message"]) == ("WARN", True)
    assert "secret" not in ended.out + ended.err


def test_an_expiry_is_created_when_both_options_ask_for_it(cli: Cli, log: Log) -> None:
    def expiring() -> list[str]:
        return [one["name"] for one in log.events.list_indexes() if "expireAfterSeconds" in one]

    assert "createIndex" in cli("doctor", "--ttl", "90d", "-o", "table").out
    assert expiring() == []
    assert cli("doctor", "--ttl", "90d", "--fix").code == 0
    assert expiring() == ["delivery.finished_at_1_expires"]


@pytest.mark.parametrize("output", ["table", "ndjson", "json", "csv"])
def test_no_format_prints_a_raw_character(cli: Cli, log: Log, output: str) -> None:
    log.insert(
        record(
            3, event_id=HOSTILE, event_type=HOSTILE, delivery=delivery("open", entry(HOSTILE, "pending", 0), owner="")
        ),
        record(4, event_id=HOSTILE * 2, payload=[1], delivery=delivery("open", owner={HOSTILE: HOSTILE})),
        record(5, delivery=delivery("open", entry(HOSTILE, "pending", 0), owner=HOSTILE)),
    )
    log.events.create_index([("payload.x", 1)], name="\x1b[31mred")
    ended = cli("doctor", "-m", "shop.handlers", "-o", output)
    assert ended.code == 3
    assert (ended.out + ended.err).replace("\r\n", "\n").replace("\n", "").isprintable()


def test_colours_add_no_letters(cli: Cli, log: Log, fixed_server: None) -> None:
    log.insert(LEGACY)
    arguments = ("doctor", "-m", "shop.handlers", "-o", "table")
    plain, colored = cli(*arguments).out, cli(*arguments, "--color", "always").out
    assert "\x1b[31;1mFAIL\x1b[0m" in colored
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == plain


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--ttl", "soon"], "--ttl"),
        (["--ttl", "0"], '--ttl: "0" is not a duration between a second and 68 years'),
        (["--ttl", "36500d"], "--ttl"),
        (["--within", "0"], "is too short, the minimum is"),
        (["--within", "x"], "--within"),
        (["--uri", "http://x/"], "not a MongoDB address"),
        (["more"], "unexpected extra argument(s) (more)"),
    ],
)
def test_an_impossible_request_is_an_error(cli: Cli, log: Log, arguments: list[str], said: str) -> None:
    ended = cli("doctor", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
