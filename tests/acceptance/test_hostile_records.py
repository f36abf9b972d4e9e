"""Records of other programs with any content: no command fails on them, and none of them is lost."""

from __future__ import annotations

import io
import json
import secrets
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import bson
import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from craft_easy.core.events.store.filters import WELL_FORMED
from craft_easy.core.events.store.formats import event_json, extended_json
from craft_events_cli import app, terminal
from craft_events_cli.output import show
from craft_events_cli.output.events import writer
from craft_events_cli.terminal import Output
from tests.acceptance import hostile

pytestmark = [pytest.mark.slow, pytest.mark.waiting]

ENOUGH: Final = 70
"""The number of records that a server accepts; the embedded one refuses times out of range and broken text."""
HANDLERS: Final = """
from craft_easy.core.events import event_handler

@event_handler("*", id="hostile:handle")
def handle(event):
    pass
"""


@dataclass(frozen=True, slots=True)
class Log:
    """A log with the hostile records, and their number."""

    events: Any
    records: int
    where: tuple[str, ...]


@pytest.fixture(scope="module")
def hostile_log(embedded_uri: str) -> Iterator[Log]:
    """The hostile records in a database for reading commands only."""
    with MongoClient[dict[str, Any]](embedded_uri) as client:
        name = f"craft_test_{secrets.token_hex(6)}"
        yield filled(client, embedded_uri, name)
        client.drop_database(name)


@pytest.fixture
def own_log(embedded_uri: str, database_name: str) -> Iterator[Log]:
    """The same for a test that writes."""
    with MongoClient[dict[str, Any]](embedded_uri) as client:
        yield filled(client, embedded_uri, database_name)


def filled(client: MongoClient[dict[str, Any]], uri: str, name: str) -> Log:
    events, taken = client[name]["event_log"], 0
    for record in hostile.records().values():
        try:
            events.insert_one(record)
            taken += 1
        except OperationFailure:
            continue
    assert taken >= ENOUGH
    events.create_index("correlation_id", sparse=True)  # trace requires it
    return Log(events, taken, ("--uri", uri, "--database", name))


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Run a command line in this process, and check that it neither failed nor printed a raw character."""
    monkeypatch.chdir(tmp_path)

    def run(log: Log, *args: str, codes: Sequence[int] = (0,)) -> Ended:
        capsys.readouterr()
        at = args.index("--") if "--" in args else len(args)
        code = app.run([*args[:at], *log.where, *args[at:]])
        ended = Ended(code, *capsys.readouterr())
        check(ended, codes)
        return ended

    return run


def check(ended: Ended, codes: Sequence[int]) -> None:
    assert ended.code in codes, ended.err
    assert "unexpected" not in ended.err
    assert "Traceback" not in ended.err
    for text in (ended.out, ended.err):
        assert text.replace("\r\n", "\n").replace("\n", "").isprintable()


def process(log: Log, folder: Path, *args: str) -> Ended:
    """Run a command line that loads a handler module, in its own process."""
    (folder / "hostile_handlers.py").write_text(HANDLERS)
    command = [sys.executable, "-m", "craft_events_cli", *args, *log.where, "-m", "hostile_handlers"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    return Ended(done.returncode, done.stdout, done.stderr)


# ------------------------------------------------------------------ reading


READING: Final = (
    ("replay",),
    ("replay", "--reverse", "--tenant", "acme"),
    ("replay", "--since", "20000d"),
    ("replay", "--state", "open", "--state", "dead"),
    ("tail", "-n", "500", "--no-follow"),
    ("dead", "list"),
    ("dead", "list", "--by", "error"),
    ("dead", "list", "--by", "handler"),
    ("dead", "list", "--by", "tenant"),
    ("dead", "list", "--by", "type"),
    ("dead", "retry", "--dry-run"),
    ("dead", "discard", "--handler", hostile.HANDLER, "--pending", "--reason", "r", "--dry-run"),
    ("workers",),
    ("stats", "--since", "20000d"),
    ("stats", "--by", "handler"),
    ("stats", "--by", "error"),
    ("doctor",),
    ("prune", "--older-than", "1d", "--include-untracked", "--dry-run"),
    ("prune", "redact", "--tenant", "acme", "--dry-run"),
)


@pytest.mark.parametrize(
    ("output", "command"),
    [*zip(cycle(("table", "ndjson")), READING)],
    ids=lambda one: " ".join(one) if isinstance(one, tuple) else one,
)
def test_no_command_fails_over_them(run: Any, hostile_log: Log, output: str, command: tuple[str, ...]) -> None:
    ended = run(hostile_log, *command, "-o", output, codes=(0, 3))
    assert ended.out or ended.err


def test_every_one_of_them_is_printed_in_every_format(run: Any, hostile_log: Log) -> None:
    assert len(run(hostile_log, "replay", "-o", "ndjson").lines) == hostile_log.records
    assert len(json.loads(run(hostile_log, "replay", "-o", "json").out)) == hostile_log.records
    assert len(run(hostile_log, "replay", "-o", "csv").out.split("\r\n")) == hostile_log.records + 2
    assert len(run(hostile_log, "replay", "-o", "table").out.splitlines()) == hostile_log.records
    assert len(run(hostile_log, "tail", "-n", "500", "--no-follow", "-o", "ndjson").lines) == hostile_log.records


@pytest.mark.parametrize(("command", "output"), [("show", "table"), ("show", "json"), ("trace", "table")])
def test_each_that_has_an_id_is_shown(run: Any, hostile_log: Log, command: str, output: str) -> None:
    ids = [one["event_id"] for one in run(hostile_log, "replay").lines if one["event_id"]]
    if (command, output) != ("show", "table"):
        ids = [one for number, one in enumerate(ids) if number % 8 == 0 or one.startswith(("ring", "ouroboros"))]
    ended = [run(hostile_log, command, "-o", output, "--", event_id, codes=(0, 3)) for event_id in ids]
    not_found = [one for one, event_id in zip(ended, ids, strict=True) if one.code]
    # ids that are objects, lists or invalid numbers are printed as text, and found by that text
    assert len(not_found) <= 6
    assert all("there is no event" in one.err for one in not_found)


@pytest.mark.parametrize("json_format", ["relaxed", "canonical"])
def test_export_writes_every_one_of_them(run: Any, hostile_log: Log, tmp_path: Path, json_format: str) -> None:
    ended = run(hostile_log, "export", "--json-format", json_format, codes=(0, 3))
    assert len(ended.lines) == hostile_log.records
    run(hostile_log, "export", "all.ndjson.gz", "--json-format", json_format, codes=(0, 3))
    run(hostile_log, "import", "all.ndjson.gz", "--dry-run", codes=(0, 3))


# ------------------------------------------------------------------ acting


def test_a_redispatch_delivers_what_can_be_delivered_and_changes_nothing_else(own_log: Log, tmp_path: Path) -> None:
    own_log.events.insert_one(
        {"_id": "neighbour", "event_id": "n", "event_type": "x", "tenant_id": None, "actor_id": None, "payload": {}}
        | {"timestamp": hostile.AT, "delivery": hostile._entry(state="pending")}
    )
    before = ids_of(own_log)
    ended = process(own_log, tmp_path, "redispatch", "-o", "json")
    check(ended, (0, 3))
    assert json.loads(ended.out)["done"] >= 6
    assert own_log.events.find_one({"_id": "neighbour"})["delivery"]["state"] == "done"
    assert ids_of(own_log) == before


def test_a_replay_hands_each_of_them_to_its_handler(hostile_log: Log, tmp_path: Path) -> None:
    ended = process(hostile_log, tmp_path, "replay", "--all-handlers", "--yes", "-o", "json")
    check(ended, (0, 3))
    found = json.loads(ended.out)
    assert (found["done"] + 1, found["redacted"]) == (hostile_log.events.count_documents(WELL_FORMED), 1)


def test_dead_retry_and_discard_move_what_is_dead(run: Any, own_log: Log) -> None:
    before = ids_of(own_log)
    run(own_log, "dead", "retry", "--yes")
    run(own_log, "dead", "discard", "--handler", hostile.HANDLER, "--pending", "--reason", "r", "--yes")
    run(own_log, "replay")
    assert ids_of(own_log) == before


def test_a_pruning_archives_them_or_leaves_them(run: Any, own_log: Log, tmp_path: Path) -> None:
    before = ids_of(own_log)
    what = ("prune", "--older-than", "1d", "--include-untracked", "--yes")
    run(own_log, *what, "--archive", "old.ndjson.gz", codes=(0, 3))
    left = ids_of(own_log)
    run(own_log, "import", "old.ndjson.gz", "--dry-run", codes=(0, 3))
    run(own_log, *what, "--archive", "collection:old_events", codes=(0, 3))
    rest = ids_of(own_log)
    archived = Counter(map(repr, own_log.events.database["old_events"].distinct("_id")))
    assert left == rest + archived
    assert rest.total() < left.total() < before.total()


def test_a_redaction_reaches_every_one_of_them_that_is_an_event(run: Any, own_log: Log) -> None:
    before = ids_of(own_log)
    ended = run(own_log, "prune", "redact", "--tenant", "acme", "--yes", "-o", "json", codes=(0, 3))
    assert ids_of(own_log) == before
    records = list(own_log.events.find({"tenant_id": "acme", **WELL_FORMED}))
    found = [record["payload"] for record in records]
    assert len(found) >= ENOUGH - 30
    # one is marked as redacted, and the embedded server does not change a record whose key is NaN
    assert len([one for one in found if one != {}]) == len(json.loads(ended.out)["kept"]) + 1 <= 2
    run(own_log, "replay", "-o", "table")


def ids_of(log: Log) -> Counter[str]:
    """Return the `_id`s as text, because not all of them are equal to themselves."""
    return Counter(repr(one["_id"]) for one in log.events.find({}, {"_id": 1}))


# ------------------------------------------------------------------ records that the embedded server refuses


@pytest.mark.parametrize("name", [*hostile.records()])
def test_each_of_them_is_rendered_for_any_server(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    record = bson.decode(hostile.records()[name].raw, codec_options=event_json.CODEC)
    data = io.BytesIO()
    stream = io.TextIOWrapper(data, "utf-8", newline="\n")
    monkeypatch.setattr(terminal._state, "stdout", stream)
    for output in Output:
        out = writer(output)
        out.begin()
        out.write([record])
        out.close()
    show.write_event(event_json.event_json(record))
    for canonical in (False, True):
        stream.write(extended_json.record_line(record, canonical=canonical))
    stream.flush()
    text = data.getvalue().decode()
    assert text.replace("\r\n", "\n").replace("\n", "").isprintable()
