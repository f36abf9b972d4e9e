"""`config show`: the value of every setting, its origin, and no password."""

import csv
import io
import json
from pathlib import Path

import pytest

from tests.cli.conftest import Cli

FILE = """
[tool.craft-events]
uri = "mongodb://base/shop"
handlers = ["shop.handlers", "billing:bus"]

[tool.craft-events.env.staging]
collection = "events"

[tool.craft-events.env.prod]
uri-env = "PROD_URI"
protected = true
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PROD_URI", "mongodb://app:secret@prod/?tlsCertificateKeyFilePassword=secret")
    file = tmp_path / "pyproject.toml"
    file.write_text(FILE)
    return file


def test_without_anything_every_value_is_the_default(cli: Cli) -> None:
    ended = cli("config", "show", "-o", "json")
    assert ended.code == 0
    assert [(row["setting"], row["value"], row["origin"]) for row in json.loads(ended.out)] == [
        ("env", None, "the default"),
        ("uri", "mongodb://localhost:27017", "the default"),
        ("database", "craft_easy", "the default"),
        ("collection", "event_log", "the default"),
        ("handlers", [], "the default"),
        ("app-dir", ".", "the default"),
        ("time-zone", "UTC", "the default"),
    ]
    assert "pyproject.toml" in ended.err, "the file that would name environments"


def test_every_value_has_its_origin(cli: Cli, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRAFT_EVENTS_COLLECTION", "other")
    Path("src").mkdir()
    ended = cli("config", "show", "--env", "prod", "--app-dir", "src", "-o", "json")
    uri = "mongodb://app:***@prod/?tlsCertificateKeyFilePassword=***"
    assert [(row["setting"], row["value"], row["origin"]) for row in json.loads(ended.out)] == [
        ("env", "prod", "--env"),
        ("protected", True, f"{file} [env.prod]"),
        ("uri", uri, f"PROD_URI, by uri-env of {file} [env.prod]"),
        ("database", "craft_easy", "the default"),
        ("collection", "other", "CRAFT_EVENTS_COLLECTION"),
        ("handlers", ["shop.handlers", "billing:bus"], str(file)),
        ("app-dir", "src", "--app-dir"),
        ("time-zone", "UTC", "the default"),
    ]
    assert "staging" in ended.err
    assert "prod (protected)" in ended.err


@pytest.mark.parametrize("output", ["table", "ndjson", "json", "csv"])
def test_no_format_shows_a_password(cli: Cli, file: Path, output: str) -> None:
    for args in (["--env", "prod"], ["--uri", "mongodb://app:secret@h"]):
        ended = cli("config", "show", "-o", output, *args)
        assert ended.code == 0
        assert "secret" not in ended.out + ended.err
        assert "mongodb://app:***@" in ended.out


def test_every_format_has_the_same_rows(cli: Cli, file: Path) -> None:
    lines = [json.loads(line) for line in cli("config", "show", "-o", "ndjson").out.splitlines()]
    assert lines == json.loads(cli("config", "show", "-o", "json").out)
    rows = list(csv.reader(io.StringIO(cli("config", "show", "-o", "csv").out)))
    assert rows[0] == ["setting", "value", "origin"]
    assert [row[0] for row in rows[1:]] == [line["setting"] for line in lines]


def test_a_table_has_a_line_for_each_setting_and_two_where_one_is_too_narrow(
    cli: Cli, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRAFT_EVENTS_ENV", "prod")
    monkeypatch.setenv("COLUMNS", "60")
    narrow = cli("config", "show", "-o", "table").out.splitlines()
    assert narrow[:4] == [
        "  env          prod",
        "               CRAFT_EVENTS_ENV",
        "  protected    yes",
        f"               {file} [env.prod]",
    ]
    monkeypatch.delenv("CRAFT_EVENTS_ENV")
    file.write_text("")
    monkeypatch.setenv("COLUMNS", "80")
    wide = cli("config", "show", "-o", "table").out.splitlines()
    assert wide[:3] == [
        "  Setting      Value                       From",
        "  env          –                           the default",
        "  uri          mongodb://localhost:27017   the default",
    ]


def test_the_summary_lists_the_environments(cli: Cli, file: Path) -> None:
    note = "environments: staging, prod (protected) · one of them: craft-events config show --env staging\n"
    assert cli("config", "show").err == note


def test_the_suggested_environment_is_shown_with_the_flags_of_this_run(cli: Cli, file: Path) -> None:
    note = cli("config", "show", "--collection", "the events").err
    assert note.endswith("craft-events config show --env staging --collection 'the events'\n")


def test_an_unusable_setting_is_named_with_its_origin(cli: Cli, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROD_URI")
    ended = cli("config", "show", "--env", "prod")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == f'error: uri-env: the variable "PROD_URI" is not set (from {file} [env.prod])\n'


def test_hostile_values_are_shown_escaped(cli: Cli, file: Path) -> None:
    file.write_text('[tool.craft-events]\nhandlers = ["\\u001b[31mred\\n\\u202e"]\napp-dir = "\\u001b]0;x\\u0007"\n')
    for output in ("table", "ndjson", "json", "csv"):
        ended = cli("config", "show", "-o", output)
        assert ended.code == 0
        assert (ended.out + ended.err).replace("\n", "").replace("\r", "").isprintable()
