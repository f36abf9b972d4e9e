"""`schema list | show | export | check`: the event classes of a module, every exit code, and events that do not fit."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from craft_easy.core.events.model.event_class import forgetting_classes
from tests.cli.conftest import Cli, Golden
from tests.support.applications import application
from tests.support.history import Log

FIRST = """
    from enum import Enum

    from pydantic import BaseModel

    from craft_easy.core.events import DomainEvent, event_handler


    class Line(BaseModel):
        isbn: str
        copies: int = 1


    class OrderPlaced(DomainEvent):
        \"\"\"A customer has ordered books.\"\"\"

        event_type: str = "order.placed"
        order_id: str
        customer: str
        lines: list[Line] = []


    class ParcelPacked(DomainEvent):
        event_type: str = "parcel.packed"
        order_id: str


    @event_handler("order.*")
    async def pack(event: OrderPlaced) -> None:
        \"\"\"Pack the books.\"\"\"
"""
SECOND = (
    FIRST.replace("customer: str", "customer_id: str")
    .replace("order_id: str\n        customer", "order_id: int\n        note: str = ''\n        customer")
    .replace('"parcel.packed"', '"parcel.sent"')
)
ADDED = FIRST.replace("customer: str", "customer: str\n        note: str | None = None")
ODD = """
    from pydantic import Field

    from craft_easy.core.events import DomainEvent


    class Odd(DomainEvent):
        \"\"\"A [red]doc\\x1b[31m\\u202e | with <b>.\"\"\"

        event_type: str = "odd.\\x1b[31m/{x}"
        x: int = Field(1, description="=a\\x07|b", title="\\x1b]0;t")
"""
OWN = ("--exclude-type", "resource.*", "--exclude-type", "payment.*", "--exclude-type", "user.*")


@pytest.fixture(autouse=True)
def app(tmp_path: Path) -> Iterator[Path]:
    files = {
        "first.py": FIRST,
        "second.py": SECOND,
        "added.py": ADDED,
        "odd.py": ODD,
        "broken.py": "import nothing_here",
    }
    with forgetting_classes(keep="craft_easy."), application(tmp_path, _dedented(files)) as directory:
        yield directory


def _dedented(files: dict[str, str]) -> dict[str, str]:
    from textwrap import dedent

    return {name: dedent(text) for name, text in files.items()}


@pytest.fixture
def baseline(cli: Cli, app: Path) -> str:
    """The catalogue of the first version; its classes are forgotten, as in the process of a later release."""
    with forgetting_classes():
        ended = cli("schema", "export", "events.json", "-m", "first", *OWN)
    assert ended.code == 0
    del sys.modules["first"]
    return "events.json"


@pytest.mark.parametrize("output", ["table", "ndjson", "json", "csv"])
def test_the_list_has_the_same_content_in_every_format(cli: Cli, golden: Golden, app: Path, output: str) -> None:
    ended = cli("schema", "list", "-m", "first", *OWN, "-o", output)
    assert (ended.code, ended.err) == (0, "2 event types · 1 without a handler\n")
    golden(f"schema-list.{output}", ended.out.replace(str(app), "APP"))


def test_the_classes_of_the_package_are_listed_like_others(cli: Cli) -> None:
    types = [json.loads(line)["type"] for line in cli("schema", "list", "-m", "first").out.splitlines()]
    assert types == sorted(types)
    assert {"order.placed", "payment.completed", "resource.created", "user.registered"} <= set(types)
    assert len(types) == 7


@pytest.mark.parametrize("output", ["table", "json"])
def test_one_type_is_shown_with_its_fields(cli: Cli, golden: Golden, app: Path, output: str) -> None:
    ended = cli("schema", "show", "order.placed", "-m", "first", "-o", output)
    assert (ended.code, ended.err) == (0, "")
    golden(f"schema-show.{output}", ended.out.replace(str(app), "APP"))


def test_an_unknown_type_is_exit_3_and_names_a_similar_one(cli: Cli) -> None:
    ended = cli("schema", "show", "order.place", "-m", "first")
    assert (ended.code, ended.out) == (3, "")
    assert "no loaded class has the event type order.place\ndid you mean order.placed?" in ended.err


def test_a_narrow_list_has_a_line_for_each_type(cli: Cli, app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (app / "both.py").write_text(
        (app / "first.py").read_text() + "\n\n@event_handler('order.placed')\nasync def bill_the_customer(event): ...\n"
    )
    for columns, lines in (("45", 3), ("120", 4)):
        monkeypatch.setenv("COLUMNS", columns)
        table = cli("schema", "list", "-m", "both", *OWN, "-o", "table").out
        assert (len(table.splitlines()), "both:bill_the_customer" in table) == (lines, columns == "120")


@pytest.mark.parametrize("columns", [40, 80])
def test_tables_fit_the_terminal(cli: Cli, baseline: str, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    tables = [
        cli("schema", "list", "-m", "second", "-o", "table").out,
        cli("schema", "show", "order.placed", "-m", "second", "-o", "table").out,
        cli("schema", "check", baseline, "-m", "second", "-o", "table").out,
    ]
    assert max(len(line) for table in tables for line in table.splitlines()) <= columns


@pytest.mark.parametrize("form", ["json-schema", "asyncapi", "markdown"])
def test_a_document_is_the_same_each_time(cli: Cli, golden: Golden, app: Path, form: str) -> None:
    ended = cli("schema", "export", "--format", form, "--title", "Shop", "--release", "4.2.0", "-m", "first", *OWN)
    assert (ended.code, ended.err) == (0, "")
    golden(f"schema-export.{form}", ended.out)


def test_an_existing_file_is_only_replaced_with_force(cli: Cli, baseline: str) -> None:
    ended = cli("schema", "export", baseline, "-m", "first")
    assert ended.code == 2
    assert "events.json: exists already" in ended.err
    ended = cli("schema", "export", baseline, "--force", "-m", "first")
    assert ended.code == 0
    assert "7 event types written to events.json · compare later: craft-events schema check events.json" in ended.err
    assert len(json.loads(Path(baseline).read_text())["types"]) == 7


@pytest.mark.parametrize("output", ["table", "ndjson", "json", "csv"])
def test_breaking_changes_are_named_and_exit_3(cli: Cli, golden: Golden, baseline: str, output: str) -> None:
    ended = cli("schema", "check", baseline, "-m", "second", *OWN, "-o", output)
    assert (ended.code, ended.err) == (
        3, "3 breaking changes, 2 changes that fit\nin the log: craft-events schema check --log -m second\n",
    )  # fmt: skip
    golden(f"schema-check.{output}", ended.out)


def test_what_is_new_and_optional_is_exit_0(cli: Cli, baseline: str) -> None:
    ended = cli("schema", "check", baseline, "-m", "added", *OWN, "-o", "table")
    assert (ended.code, ended.out) == (0, "  OK     order.placed   note: added, optional\n")
    assert ended.err == "0 breaking changes, 1 change that fits\n"


def test_the_same_classes_have_not_changed(cli: Cli, baseline: str) -> None:
    ended = cli("schema", "check", baseline, "-m", "first", *OWN)
    assert (ended.code, ended.out, ended.err) == (0, "", "nothing has changed since the baseline\n")


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["check", "-m", "first"], 2, "nothing to compare with"),
        (["check", "first.py", "--sample", "5", "-m", "first"], 2, "--sample: only --log reads stored events"),
        (["check", "absent.json", "-m", "first"], 2, "absent.json: cannot be read: no such file or directory"),
        (["check", "first.py", "-m", "first"], 2, "first.py: is not JSON"),
        (["check", "first.py"], 2, "no handler module is named"),
        (["list", "-m", "broken"], 5, "the handler module broken cannot be imported"),
        (["export", "--format", "xml", "-m", "first"], 2, "--format:"),
    ],
)
def test_what_cannot_be_compared_is_an_error_that_says_so(cli: Cli, args: list[str], code: int, message: str) -> None:
    ended = cli("schema", *args)
    assert (ended.code, ended.out) == (code, "")
    assert message in ended.err


@pytest.mark.parametrize("args", [["list"], ["show", "odd.\x1b[31m/{x}"], ["export"]])
def test_nothing_raw_reaches_the_terminal(cli: Cli, args: list[str]) -> None:
    forms = ["json-schema", "asyncapi", "markdown"] if args == ["export"] else ["table", "json", "csv"]
    option = "--format" if args == ["export"] else "-o"
    for form in forms:
        ended = cli("schema", *args, "-m", "odd", option, form)
        assert ended.code == 0
        assert ended.out.replace("\r\n", "\n").replace("\n", "").isprintable()


# ------------------------------------------------------------------ with a log


def published(cli: Cli, log: Log, **payload: object) -> None:
    ended = cli("publish", "--type", "order.placed", "--data", json.dumps(payload))
    assert ended.code == 0


@pytest.mark.parametrize("output", ["table", "json"])
def test_stored_events_that_a_class_refuses_are_counted_with_the_field_and_the_reason(
    cli: Cli, log: Log, output: str
) -> None:
    published(cli, log, order_id="o_1", customer="ann")
    published(cli, log, order_id="o_2")
    published(cli, log, order_id="o_3", customer="ann", lines=[{"isbn": "1"}, {"copies": 2}])
    ended = cli("schema", "check", "--log", "-m", "first", *OWN, "-o", output)
    assert ended.code == 3
    assert ended.err.startswith("3 events read, 2 of them untyped\none of them: craft-events show ")
    if output == "json":
        rows = [row for row in json.loads(ended.out) if row["level"] == "FAIL"]
        found = {(row["field"], row["message"], row["events"], row["untyped"]) for row in rows}
        assert found == {("customer", "Field required", 3, 1), ("lines[].isbn", "Field required", 3, 1)}
    else:
        assert "  FAIL   order.placed    customer: Field required\n" in ended.out
        assert "1 of the newest 3, for example " in ended.out
        assert "  OK     parcel.packed   none to read\n" in ended.out


def test_events_that_fit_are_exit_0_and_types_without_a_class_are_named(cli: Cli, log: Log) -> None:
    published(cli, log, order_id="o_1", customer="ann")
    assert cli("publish", "--type", "stock.counted", "--data", "{}").code == 0
    ended = cli("schema", "check", "--log", "--sample", "1", "-m", "first")
    assert ended.code == 0
    assert "1 event type of the log without a loaded class: stock.counted" in ended.err


def test_a_baseline_and_the_log_together(cli: Cli, log: Log, baseline: str) -> None:
    published(cli, log, order_id="o_1", customer="ann")
    ended = cli("schema", "check", baseline, "--log", "-m", "second", *OWN)
    assert ended.code == 3
    rows = [json.loads(line) for line in ended.out.splitlines()]
    assert {(row["check"], row["field"], row["events"]) for row in rows if row["level"] == "FAIL"} >= {
        ("baseline", "order_id", 1), ("baseline", "customer", 1), ("log", "order_id", 1), ("log", "customer_id", 1),
    }  # fmt: skip


def test_a_breaking_change_counts_the_stored_events(cli: Cli, log: Log, baseline: str) -> None:
    published(cli, log, order_id="o_1", customer="ann")
    ended = cli("schema", "check", baseline, "-m", "second", *OWN, "-o", "table")
    assert ended.code == 3
    assert "stored events that no longer fit: all · 1 stored" in ended.out


@pytest.mark.usefixtures("impatient")
def test_a_log_that_is_away_is_exit_4_where_it_is_read_and_a_warning_where_it_is_counted(
    cli: Cli, baseline: str
) -> None:
    away = ("-m", "second", *OWN, "--uri", "mongodb://127.0.0.1:1/")
    assert cli("schema", "check", "--log", *away).code == 4
    ended = cli("schema", "check", baseline, *away)
    assert ended.code == 3
    assert ended.err.startswith("warning: the stored events are not counted: ")


@pytest.mark.usefixtures("impatient")
def test_what_fits_is_not_counted_so_that_no_log_is_needed(cli: Cli, baseline: str) -> None:
    ended = cli("schema", "check", baseline, "-m", "added", *OWN, "--uri", "mongodb://127.0.0.1:1/")
    assert (ended.code, ended.err) == (0, "0 breaking changes, 1 change that fits\n")
