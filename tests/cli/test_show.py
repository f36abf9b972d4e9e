"""`show`: one event with every delivery, attempt and error, for people and for programs."""

import json
from datetime import timedelta
from typing import Any

import bson
import pytest

from craft_events_cli.commands.show import next_steps
from craft_events_cli.output.cells import width_of
from tests.cli.conftest import Cli, Golden
from tests.cli.deliveries import LONG, delivery, entry, errors
from tests.support.history import BEGAN, HISTORY, HOSTILE, Log, record

DEAD = record(
    1,
    event_type="order.placed",
    actor_id="user_12",
    payload={"order_id": "o_57", "total": 80.0, "name": "Zoë"},
    causation_id="019abf3e-0000-7000-8000-0000000000aa",
    correlation_id="019abf3e-0000-7000-8000-0000000000bb",
    delivery=delivery(
        "dead",
        entry("shop.stock:reserve", "done", 1),
        entry("shop.billing:charge", "dead", 20, errors=errors(18, 19, 20)),
        entry("shop.mail:send_confirmation", "done", 3, errors=errors(1, 2, text=LONG, kind="SMTPServerDisconnected")),
        entry("shop.video:cut", "dead", 0, crashes=3, reason="crashed", took_ms=None),
        entry("shop.legacy:sync", "skipped", 20, errors=errors(20), reason="removed in 4.0", by="ada@desk"),
        takeovers=1,
    ),
)
OPEN = record(
    2,
    delivery=delivery(
        "open",
        entry("shop.stock:reserve", "pending", 0),
        entry("shop.billing:charge", "pending", 2, errors=errors(1, 2)),
        owner="api-3:4121:0f",
        takeovers=2,
    ),
)
WAITING = record(3, delivery=delivery("open", entry("shop.stock:reserve", "pending", 1, errors=errors(1))))
UNHANDLED = record(4, tenant_id=None, actor_id=None, payload={}, delivery=delivery("done"))
UNTRACKED = record(5, payload={"note": "n" * 20_000})
HAUNTED = record(
    6,
    event_id=HOSTILE,
    event_type=HOSTILE,
    tenant_id=HOSTILE,
    actor_id=HOSTILE,
    payload={HOSTILE: HOSTILE},
    delivery=delivery(
        "dead",
        entry(HOSTILE * 3, "dead", 1, errors=errors(1, text=HOSTILE, kind=HOSTILE)),
        entry("[bold]", "skipped", 0, reason=HOSTILE, by=HOSTILE, errors=errors(1)),
        owner=HOSTILE,
    ),
)


@pytest.fixture
def log(log: Log) -> Log:
    log.insert(DEAD, OPEN, WAITING, UNHANDLED, UNTRACKED, HAUNTED)
    return log


@pytest.mark.parametrize(
    ("name", "event"),
    [
        ("dead", DEAD),
        ("open", OPEN),
        ("waiting", WAITING),
        ("unhandled", UNHANDLED),
        ("untracked", UNTRACKED),
        ("haunted", HAUNTED),
    ],
)
def test_a_table_shows_the_event_and_its_deliveries(
    cli: Cli, log: Log, golden: Golden, name: str, event: dict[str, Any]
) -> None:
    ended = cli("show", "-o", "table", "--", event["event_id"])
    assert ended.code == 0
    golden(f"show-{name}.table", ended.out)


def test_show_names_the_trace_that_the_event_was_published_in(cli: Cli, log: Log) -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    log.insert(record(31, trace_context={"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"}))
    log.insert(record(32, trace_context={"of": "another program"}))
    shown = cli("show", record(31)["event_id"], "-o", "table").out
    assert f"trace   {trace_id}\n" in shown
    assert "trace" not in cli("show", record(32)["event_id"], "-o", "table").out


def failed(message: str = "no connection") -> Any:
    frames = ["shop/mail.py:18 in deliver", "shop/mail.py:31 in send", "smtplib.py:255 in __init__"]
    return errors(1, text=message, kind="SMTPError")[0] | {"where": frames[1], "frames": frames}


@pytest.mark.parametrize("message", ["no connection", "no connection " * 20])
def test_show_says_where_a_handler_failed_and_traceback_shows_the_stored_frames(
    cli: Cli, log: Log, message: str
) -> None:
    log.insert(record(30, delivery=delivery("dead", entry("shop.mail:send", "dead", 1, errors=[failed(message)]))))
    event_id = record(30)["event_id"]
    shown = cli("show", event_id, "-o", "table").out
    assert "shop/mail.py:31 in send" in shown
    assert "deliver" not in shown
    traceback = [line.split()[-3:] for line in cli("show", event_id, "--traceback", "-o", "table").out.splitlines()]
    assert traceback[-3:] == [
        ["shop/mail.py:18", "in", "deliver"],
        ["shop/mail.py:31", "in", "send"],
        ["smtplib.py:255", "in", "__init__"],
    ]


def test_an_event_that_kills_its_workers_shows_its_crashes_before_it_is_dead(cli: Cli, log: Log) -> None:
    log.insert(record(31, delivery=delivery("open", entry("shop.video:cut", "pending", 0, crashes=2), takeovers=4)))
    assert "pending, 2 crashes so far" in cli("show", record(31)["event_id"], "-o", "table").out


def test_a_due_time_on_another_day_is_shown_with_its_day(cli: Cli, log: Log) -> None:
    later = BEGAN + timedelta(days=3)
    log.insert(record(32, delivery=delivery("open", entry("shop.stock:reserve", "pending", 1), due_at=later)))
    assert "due from 02-03 10:00:00" in cli("show", record(32)["event_id"], "-o", "table").out


@pytest.mark.parametrize("output", ["ndjson", "json", "csv"])
def test_a_program_gets_event_json(cli: Cli, log: Log, golden: Golden, output: str) -> None:
    ended = cli("show", DEAD["event_id"], "-o", output)
    assert (ended.code, ended.err) == (0, "")
    golden(f"show-dead.{output}", ended.out)


def test_json_and_ndjson_are_the_line_that_replay_writes(cli: Cli, log: Log) -> None:
    log.events.delete_many({})
    odd = {"code": bson.Code("function () {}"), "ref": bson.DBRef("orders", 1)}
    log.insert(*HISTORY, record(20, payload=odd))
    for line in cli("replay").out.splitlines():
        if not (event_id := json.loads(line)["event_id"]):
            continue  # a malformed record has no id
        for output in ("ndjson", "json"):
            assert cli("show", "-o", output, "--", event_id).out.rstrip("\n") == line
        assert cli("show", "-o", "table", "--", event_id).code == 0


def test_a_pipe_gets_ndjson(cli: Cli, log: Log) -> None:
    assert json.loads(cli("show", OPEN["event_id"]).out)["delivery"]["owner"] == "api-3:4121:0f"


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_errors_are_shown_whole_at_any_width(cli: Cli, log: Log, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = cli("show", DEAD["event_id"], "-o", "table").out
    assert LONG in " ".join(shown.split())
    assert "by ada@desk" in " ".join(shown.split())
    assert max(map(len, shown.splitlines())) <= columns


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_wide_characters_do_not_run_past_the_terminal(
    cli: Cli, log: Log, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    kept = errors(1, text="開けません" * 30)
    wide = record(
        7,
        tenant_id="東京商店",
        actor_id="usér_東京" * 3,
        payload={"名前": "東京都千代田区丸の内一丁目" * 12},
        delivery=delivery("open", entry("shop.a_package_with_a_long_name:and_a_handler", "pending", 1, errors=kept)),
    )
    log.insert(wide)
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = cli("show", wide["event_id"], "-o", "table").out
    assert max(map(width_of, shown.splitlines())) <= columns
    assert "開けません" * 30 in "".join(shown.split())


@pytest.mark.parametrize("output", ["table", "ndjson", "json", "csv"])
def test_no_format_prints_a_raw_character(cli: Cli, log: Log, output: str) -> None:
    ended = cli("show", "-o", output, "--", HOSTILE)
    assert ended.code == 0
    assert "[31mred" in ended.out
    assert (ended.out + ended.err).replace("\r\n", "\n").replace("\n", "").isprintable()


def test_colours_add_no_letters(cli: Cli, log: Log) -> None:
    plain = cli("show", DEAD["event_id"], "-o", "table").out
    colored = cli("show", DEAD["event_id"], "-o", "table", "--color", "always").out
    assert "\x1b[31m✗\x1b[0m" in colored
    import re

    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == plain


def test_the_next_command_depends_on_the_deliveries(cli: Cli, log: Log) -> None:
    event_id = DEAD["event_id"]
    assert cli("show", event_id, "-o", "table").err == (
        f"again: craft-events dead retry {event_id}\n"
        f"given up: craft-events dead discard {event_id} --reason TEXT\n"
        f"what it caused: craft-events trace {event_id}\n"
    )
    assert cli("show", OPEN["event_id"], "-o", "table").err == (
        f"delivered by: craft-events redispatch -m MODULE\nwhat it caused: craft-events trace {OPEN['event_id']}\n"
    )
    assert cli("show", UNTRACKED["event_id"], "-o", "table").err == ""
    caused = {"event_id": "a b", "causation_id": "c", "delivery": {"handlers": [{"state": "dead"}]}}
    assert list(next_steps(caused)) == [
        "again: craft-events dead retry 'a b'",
        "given up: craft-events dead discard 'a b' --reason TEXT",
        "what it caused: craft-events trace 'a b'",
    ]
    assert list(next_steps({"event_id": "a", "causation_id": "c", "delivery": None})) == [
        "what it caused: craft-events trace a"
    ]


@pytest.mark.parametrize("output", ["table", "ndjson", "json", "csv"])
@pytest.mark.parametrize("event_id", ["no-such-event", "\x1b[31m[red]", ""])
def test_an_event_that_is_not_there_ends_with_3(cli: Cli, log: Log, output: str, event_id: str) -> None:
    ended = cli("show", "-o", output, "--", event_id)
    assert (ended.code, ended.out) == (3, "")
    assert ended.err.startswith("error: there is no event ")
    assert ended.err.replace("\n", "").isprintable()
    assert len(ended.err.splitlines()) == 2


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "missing argument 'EVENT_ID'"),
        (["a", "b"], 2, "unexpected extra argument(s) (b)"),
        (["a", "--tenant", "x"], 2, "no such option: --tenant"),
        (["a", "--uri", "mongodb://127.0.0.1:9/"], 4, "127.0.0.1:9"),
    ],
)
def test_an_impossible_request_is_an_error(cli: Cli, log: Log, arguments: list[str], code: int, said: str) -> None:
    ended = cli("show", *arguments)
    assert (ended.code, ended.out) == (code, "")
    assert said in ended.err


def test_it_writes_nothing(cli: Cli, log: Log) -> None:
    before = list(log.events.find({}).sort("_id"))
    cli("show", DEAD["event_id"])
    assert list(log.events.find({}).sort("_id")) == before
