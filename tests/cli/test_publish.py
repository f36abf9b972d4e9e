"""`publish`: one event and many, open for handlers or dispatched at once, and hostile input."""

from __future__ import annotations

import io
import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli, Ended, Process
from tests.cli.hostile_lines import HOSTILE_INPUT
from tests.support.applications import application
from tests.support.conditions import until
from tests.support.history import HOSTILE, Log

SHOP = """
from craft_easy.core.events import event_handler

@event_handler("order.*")
def reserve(event): print("reserved for", event.event_id)

@event_handler("order.*", background=True)
async def mail(event):
    if "bad" in event.payload: raise ConnectionError("no \\x1b[31mmail")
"""
WAITING = """
import asyncio, pathlib
from craft_easy.core.events import event_handler

@event_handler("order.*")
async def reserve(event):
    pathlib.Path("started").touch()
    await asyncio.sleep(60)

@event_handler("order.*", background=True)
async def mail(event):
    await asyncio.sleep(60)
"""
PLACED = ("publish", "--type", "order.placed")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[str]:
    """A handler module of the test's own."""
    with application(tmp_path, {"shop.py": SHOP}):
        yield "shop"


def rows(text: str | bytes) -> list[Any]:
    return [json.loads(one) for one in text.splitlines()]


def test_an_event_is_stored_and_its_id_printed(cli: Cli, log: Log) -> None:
    payload = '{"order_id": "o_1", "total": {"$numberDecimal": "80.10"}}'
    ended = cli(*PLACED, "--tenant", "acme", "--actor", "ada", "--data", payload, "--timestamp", "2026-01-31T10:00:00Z")
    assert ended.code == 0
    (row,) = rows(ended.out)
    stored = log.events.find_one({"event_id": row["event_id"]})
    assert (stored["event_type"], stored["tenant_id"], stored["actor_id"]) == ("order.placed", "acme", "ada")
    assert (str(stored["payload"]["total"]), stored["timestamp"].year) == ("80.10", 2026)
    assert "delivery" not in stored
    assert (row["outcome"], row["state"], row["handlers"]) == ("stored", "untracked", {})
    assert ended.err.splitlines() == [
        "1 event stored",
        "stored untracked: no handler module was named, so no handler will run (-m MODULE)",
    ]


def test_with_a_handler_module_it_is_left_open_for_its_handlers(cli: Cli, log: Log, shop: str) -> None:
    ended = cli(*PLACED, "-m", shop)
    (row,) = rows(ended.out)
    assert (ended.code, row["state"]) == (0, "open")
    assert row["handlers"] == {f"{shop}:reserve": "pending", f"{shop}:mail": "pending"}
    stored = log.events.find_one({"event_id": row["event_id"]})["delivery"]
    assert (stored["state"], stored["owner"], [one["attempts"] for one in stored["handlers"]]) == ("open", None, [0, 0])
    assert ended.err.splitlines()[-2:] == [
        "1 event stored · 2 open deliveries",
        f"next: craft-events redispatch -m {shop}",
    ]


def test_an_event_of_a_type_without_handlers_is_done(cli: Cli, log: Log, shop: str) -> None:
    (row,) = rows(cli("publish", "--type", "stock.counted", "-m", shop).out)
    assert (row["state"], row["handlers"]) == ("done", {})


def test_dispatched_it_is_handled_at_once_and_prints_stay_off_the_data(cli: Cli, log: Log, shop: str) -> None:
    ended = cli(*PLACED, "-m", shop, "--dispatch")
    (row,) = rows(ended.out)
    assert (ended.code, row["state"]) == (0, "done")
    assert set(row["handlers"].values()) == {"done"}
    assert f"reserved for {row['event_id']}" in ended.err
    assert "1 event stored · 2 delivered" in ended.err
    assert log.client[log.database]["event_log_workers"].count_documents({}) == 0


def test_a_handler_that_fails_is_named_and_ends_with_3(cli: Cli, log: Log, shop: str) -> None:
    ended = cli(*PLACED, "-m", shop, "--dispatch", "--data", '{"bad": true}')
    (row,) = rows(ended.out)
    assert (ended.code, row["state"], row["handlers"][f"{shop}:mail"]) == (3, "open", "pending")
    assert f"failed: {shop}:mail   ConnectionError: no \\x1b[31mmail" in ended.err
    assert "\x1b" not in ended.err
    assert f"next: craft-events redispatch -m {shop}" in ended.err


def test_ctrl_c_while_a_handler_runs_names_the_event_without_a_traceback_and_leaves_it_open(
    log: Log, process: Process, tmp_path: Path
) -> None:
    (tmp_path / "shop.py").write_text(WAITING)
    running = process(*PLACED, "-m", "shop", "--dispatch")
    until(lambda: (tmp_path / "started").exists(), seconds=30)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=30)
    (left,) = log.events.find()
    assert (running.returncode, out) == (130, b"")
    assert err.decode().splitlines() == [
        f"stopped before event {left['event_id']} was stored and handled",
        f"next: craft-events show {left['event_id']}",
    ]
    assert [left["delivery"][name] for name in ("state", "owner")] == ["open", None]


def test_the_same_id_again_is_a_no_op_and_other_content_a_conflict(cli: Cli, log: Log, shop: str) -> None:
    command = (*PLACED, "--id", "e1", "--data")
    cli(*command, '{"a": 1.50}')
    again = cli(*command, '{"a": 1.5}')
    assert (again.code, rows(again.out)[0]["outcome"]) == (0, "present")
    other = cli(*command, '{"a": 2}')
    assert (other.code, other.out) == (3, "")
    assert other.err.startswith("error: event 'e1' is stored already with other content")
    tracked = cli(*command, '{"a": 1.5}', "-m", shop)
    assert rows(tracked.out)[0]["state"] == "open"
    assert log.events.find_one({})["delivery"]["state"] == "open"


@pytest.mark.parametrize(
    ("output", "begins"),
    [
        ("table", "e1  order.placed  acme  untracked"),
        ("csv", "event_id,event_type,tenant_id,outcome,state,handlers\r\ne1,order.placed,acme,stored,untracked,{}"),
        ("json", '{"event_id":"e1","event_type":"order.placed","tenant_id":"acme","outcome":"stored",'),
    ],
)
def test_every_format_contains_the_id(cli: Cli, log: Log, output: str, begins: str) -> None:
    assert cli(*PLACED, "--id", "e1", "--tenant", "acme", "-o", output).out.startswith(begins)


def test_many_events_in_json_are_one_array(cli: Cli, log: Log) -> None:
    Path("events.ndjson").write_text('{"event_type": "a"}\n{"event_type": "b"}\n')
    assert [one["event_type"] for one in json.loads(cli("publish", "events.ndjson", "-o", "json").out)] == ["a", "b"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "--data: JSON: expecting value"),
        ("[1]", "--data: the payload is not an object"),
        ("null", "--data: the payload is not an object"),
        ('{"a": 1, "a": 2}', '--data: JSON: the key "a" appears twice'),
        ('{"a": NaN}', "--data: JSON: NaN is not a number that the log keeps"),
        ('{"a": 1e999}', "larger than any float"),
        ('{"a": 9223372036854775808}', "takes more than 64 bits"),
        ('{"a": ' + "1" * 5_000 + "}", "takes more than 64 bits"),
        ("[" * 100_000, "--data: JSON: more than 97 levels"),
        ('{"a":' * 101 + "1" + "}" * 101, "payload.a.a.a"),
        ('{"a": "\\ud800"}', "payload.a: a lone surrogate"),
        ('{"\\u0000": 1}', "a key that holds NUL"),
        ('{"a": {"$oid": "zz"}}', '$oid: "zz" is not a valid value'),
        ('{"a": {"$numberDouble": "NaN"}}', "payload.a: a float that is not finite"),
        ("@nothing", "--data: nothing cannot be read: no such file"),
        ("@.", "--data: . cannot be read: is a directory"),
        ("@latin", "--data: the text is not UTF-8"),
        ("\udcff", "data: the value is not valid UTF-8"),
    ],
)
def test_a_payload_that_cannot_be_kept_is_wrong_usage_and_nothing_is_stored(
    cli: Cli, log: Log, data: str, reason: str
) -> None:
    Path("latin").write_bytes(b'{"a": "\xe9"}')
    ended = cli(*PLACED, "--data", data)
    assert (ended.code, ended.out) == (2, "")
    assert reason in ended.err
    assert log.events.count_documents({}) == 0


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        ([], "--type is missing"),
        (["--type", ""], "--type: is empty"),
        (["--type", "t", "--tenant", ""], "--tenant: is empty"),
        (["--type", "t", "--timestamp", "someday"], '--timestamp: "someday" is not a valid time'),
        (["--type", "t", "--timestamp", "2026-02-30"], "--timestamp: "),
        (["--type", "t", "--rejects", "r"], "--rejects is for lines"),
        (["-", "--type", "t"], "--type is for one event"),
        (["nothing"], "nothing: cannot be read"),
        (["--type", "t", "--dispatch"], "no handler module is named"),
    ],
)
def test_options_that_contradict_each_other_are_wrong_usage(cli: Cli, log: Log, args: list[str], reason: str) -> None:
    ended = cli("publish", *args)
    assert ended.code == 2
    assert ended.err.startswith(f"error: {reason}")


@pytest.mark.parametrize("name", ["one", "-"])
def test_a_payload_comes_from_a_file_or_from_standard_input(
    cli: Cli, log: Log, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b'\xef\xbb\xbf{"a": 1}\r\n'
    Path("one").write_bytes(data)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert cli(*PLACED, "--data", "-" if name == "-" else "@one").code == 0
    assert log.events.find_one({})["payload"] == {"a": 1}


def publish_file(cli: Cli, data: bytes, *options: str) -> Ended:
    Path("events.ndjson").write_bytes(data)
    return cli("publish", "events.ndjson", "--rejects", "rejects.ndjson", *options)


@pytest.mark.parametrize("name", [*HOSTILE_INPUT][::4])  # the lines are read as an import reads them
def test_a_bad_line_is_reported_by_its_number_and_the_others_are_published(cli: Cli, log: Log, name: str) -> None:
    data, stored, bad = HOSTILE_INPUT[name]
    # a published line may lack an id and a time
    left_out = [number for number, reason in bad.items() if reason in ("event_id: is missing", "timestamp: is missing")]
    ended = publish_file(cli, data)
    assert ended.code == (3 if len(bad) > len(left_out) else 0)
    rejects = {one["line"]: one["error"] for one in rows(Path("rejects.ndjson").read_text())}
    assert rejects.keys() == bad.keys() - set(left_out)
    assert all(bad[number] in error or "timestamp" in error for number, error in rejects.items())
    assert log.events.count_documents({}) + ended.out.count('"present"') == stored + len(left_out)
    assert len(rows(ended.out)) == stored + len(left_out)
    assert "\x1b" not in ended.err + ended.out


def test_lines_are_published_in_order_and_missing_fields_are_filled_in(cli: Cli, log: Log, shop: str) -> None:
    lines = [{"event_type": "order.placed", "payload": {"n": n}, "delivery": {"state": "done"}} for n in range(3)]
    ended = publish_file(cli, b"\n".join(json.dumps(one).encode() for one in lines), "-m", shop, "--dispatch")
    assert ended.code == 0
    ids = [one["event_id"] for one in rows(ended.out)]
    stored = {one["event_id"]: one for one in log.events.find()}
    assert [stored[one]["payload"]["n"] for one in ids] == [0, 1, 2]
    assert {one["delivery"]["state"] for one in stored.values()} == {"done"}
    assert "3 events stored · 6 delivered" in ended.err


def test_a_payload_that_does_not_fit_its_class_is_reported_once(cli: Cli, log: Log) -> None:
    line = b'{"event_type": "payment.completed", "payload": {"amount": "much"}}\n'
    ended = publish_file(cli, line * 2)
    assert ended.code == 0
    assert ended.err.count("does not fit PaymentCompleted: handlers receive a plain DomainEvent") == 1


def test_hostile_texts_come_out_as_escapes(cli: Cli, log: Log) -> None:
    for output in ("table", "ndjson", "csv", "json"):
        ended = cli("publish", "--type", HOSTILE, "--tenant", HOSTILE, "-o", output)
        assert ended.code == 0
        assert not any(mark in ended.out + ended.err for mark in "\x1b\x07\x7f\x9b\u202e\u2028")


def test_a_line_is_published_on_arrival_and_an_incomplete_one_is_reported(log: Log, process: Process) -> None:
    running = process("publish", "-", stdin=-1)
    assert running.stdin is not None
    assert running.stdout is not None
    running.stdin.write(b'{"event_type": "a"}\n{"event_')
    running.stdin.flush()
    until(lambda: log.events.count_documents({}) == 1)
    assert json.loads(running.stdout.readline())["event_type"] == "a"
    running.stdin.write(b'type": "b"}\n{"event_ty')
    out, err = running.communicate()
    assert (running.returncode, json.loads(out)["event_type"]) == (3, "b")
    assert b"line 3: JSON: unterminated string" in err
