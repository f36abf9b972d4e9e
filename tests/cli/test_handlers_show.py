"""`handlers show` and `handlers check`: one handler in full, and all of them compared with the log."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Cli, Golden
from tests.cli.deliveries import delivery, entry
from tests.support.applications import application
from tests.support.history import HOSTILE, Log, record

SHOP = '''
from craft_easy.core.events import RetryPolicy, event_handler

FIVE = {"retry": RetryPolicy(max_attempts=5, delay=10), "timeout": 2.5, "aliases": ("shop:old",)}

@event_handler("order.placed", id="charge", **FIVE)
@event_handler("order.paid", id="charge", **FIVE)
async def charge(event):
    """Charge the card of an order.

    Twice never.
    """

@event_handler("mail.*", background=True, replayable=False, id="mail")
def mail(event): ...

@event_handler("never.seen", id="idle")
def idle(event): ...
'''
SHOW = ("handlers", "show", "charge", "-m", "shop")
CHECK = ("handlers", "check", "-m", "shop")


@pytest.fixture(autouse=True)
def app(tmp_path: Path) -> Iterator[Path]:
    with application(tmp_path, {"shop.py": SHOP}) as directory:
        yield directory


@pytest.fixture
def log(log: Log) -> Log:
    log.insert(
        record(1, event_type="order.placed", delivery=delivery("open", entry("charge", "pending", 0))),
        record(2, event_type="order.paid", delivery=delivery("dead", entry("shop:old", "dead", 20))),
        record(3, event_type="mail.sent", delivery=delivery("done", entry("mail", "done", 1))),
    )
    return log


@pytest.mark.parametrize("columns", [40, 80])
def test_a_table_shows_one_handler(
    cli: Cli, log: Log, golden: Golden, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    ended = cli(*SHOW, "-o", "table")
    assert ended.code == 0
    golden(f"handlers-show-{columns}.table", ended.out)
    assert ended.err.rstrip().endswith("craft-events dead list --handler charge")


def test_a_program_gets_an_object(cli: Cli, log: Log, app: Path) -> None:
    row = json.loads(cli(*SHOW, "-o", "json").out)
    assert row == json.loads(cli(*SHOW, "-o", "ndjson").out)
    assert row == {
        "id": "charge",
        "patterns": [{"pattern": "order.paid", "order": 1}, {"pattern": "order.placed", "order": 2}],
        "mode": "foreground",
        "async": True,
        "replayable": True,
        "timeout": 2.5,
        "retry": {"max_attempts": 5, "delay": 10, "max_delay": 21600.0, "jitter": 0.1},
        "aliases": ["shop:old"],
        "file": str(app / "shop.py"),
        "line": 6,
        "doc": "Charge the card of an order.",
        "open": 1,
        "dead": 1,
        "paused": None,
    }
    assert cli(*SHOW, "-o", "csv").out.splitlines()[0].split(",") == list(row)


def test_an_old_name_leads_to_the_handler(cli: Cli, log: Log) -> None:
    assert json.loads(cli("handlers", "show", "shop:old", "-m", "shop").out)["id"] == "charge"


def test_a_pause_is_shown_under_the_name_that_resumes_it(cli: Cli, log: Log) -> None:
    log.client[log.database]["event_log_handlers"].insert_one({"_id": "shop:old", "by": "anna@db-1", "reason": "down"})
    ended = cli(*SHOW)
    assert json.loads(ended.out)["paused"]["handler"] == "shop:old"
    assert ended.err.rstrip().endswith("craft-events handlers resume shop:old")
    assert re.search("paused +by anna@db-1 until it is resumed: down", cli(*SHOW, "-o", "table").out)


def test_pending_deliveries_suggest_a_redispatch(cli: Cli, log: Log) -> None:
    log.events.delete_one({"event_type": "order.paid"})
    assert cli(*SHOW).err.rstrip().endswith("craft-events redispatch --handler charge -m shop")
    assert cli("handlers", "show", "mail", "-m", "shop").err == ""


def test_without_a_database_the_rest_is_shown(cli: Cli) -> None:
    row = json.loads(cli(*SHOW).out)
    assert (row["open"], row["dead"]) == (None, None)
    table = cli("handlers", "show", "mail", "-m", "shop", "-o", "table").out
    assert "background, in a thread" in table
    assert re.search("replay +never", table)
    assert "in the log" not in table


@pytest.mark.usefixtures("impatient")
def test_an_unreachable_database_is_a_warning(cli: Cli, log: Log) -> None:
    ended = cli(*SHOW, "--uri", "mongodb://127.0.0.1:9/")
    assert ended.code == 0
    assert "warning: its backlog is not known: 127.0.0.1:9" in ended.err


def test_a_handler_that_is_not_loaded_ends_with_3(cli: Cli, log: Log) -> None:
    ended = cli("handlers", "show", "chrge", "-m", "shop")
    assert (ended.code, ended.out) == (3, "")
    assert "did you mean charge?" in ended.err


def test_mismatches_are_reported_and_an_orphan_ends_with_3(cli: Cli, log: Log) -> None:
    assert cli(*CHECK).code == 0
    assert cli(*CHECK, "--strict").code == 3
    log.insert(
        record(4, event_type="stock.counted", delivery=delivery("done")),
        record(5, event_type="order.paid", delivery=delivery("open", entry("gone", "pending", 0))),
    )
    ended = cli(*CHECK)
    assert ended.code == 3
    assert "1 failure, 2 warnings" in ended.err
    orphan, unhandled, idle = map(json.loads, ended.out.splitlines())
    assert [one["level"] for one in (orphan, unhandled, idle)] == ["FAIL", "WARN", "WARN"]
    assert "gone" in orphan["message"]
    assert "stock.counted" in unhandled["message"]
    assert "idle is subscribed to never.seen" in idle["message"]


def test_matching_handlers_are_reported_as_ok(cli: Cli, log: Log) -> None:
    log.insert(record(4, event_type="never.seen", delivery=delivery("done")))
    ended = cli(*CHECK, "--strict", "-o", "table")
    assert ended.code == 0
    assert ended.out.split()[:3] == ["OK", "handlers", "3"]


@pytest.mark.parametrize("output", ["table", "ndjson", "json", "csv"])
def test_no_format_prints_a_raw_character(cli: Cli, log: Log, output: str) -> None:
    log.insert(record(4, event_type=HOSTILE, delivery=delivery("open", entry(HOSTILE, "pending", 0))))
    ended = cli(*CHECK, "-o", output)
    assert ended.code == 3
    assert (ended.out + ended.err).replace("\r\n", "\n").replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["handlers", "show"], 2, "missing argument 'ID'"),
        (["handlers", "show", "charge"], 2, "no handler module is named"),
        (["handlers", "check"], 2, "no handler module is named"),
        (["handlers", "check", "-m", "nowhere"], 5, "nowhere"),
    ],
)
def test_an_impossible_request_is_an_error(cli: Cli, log: Log, arguments: list[str], code: int, said: str) -> None:
    ended = cli(*arguments)
    assert (ended.code, ended.out) == (code, "")
    assert said in ended.err
