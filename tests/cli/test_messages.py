"""The wording of the messages: what each command writes to stderr is in a golden file, and in no other test."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cli.conftest import Cli, Golden
from tests.support.applications import application
from tests.support.dead_letters import GRAVEYARD, id_of
from tests.support.history import Log

SHOP = """
from craft_easy.core.events import event_handler

@event_handler("order.*", id="shop.billing:charge", aliases=["shop.legacy:charge"])
def charge(event): ...

@event_handler("never.seen", id="idle")
def idle(event): ...
"""
COMMANDS: dict[str, Sequence[Sequence[str]]] = {
    "dead": [
        ["dead"],
        ["dead", "list"],
        ["dead", "list", "--by", "error"],
        ["dead", "list", "--tenant", "unknown"],
        ["pending", "--tenant", "globex"],
        ["dead", "retry"],
        ["dead", "retry", "--dry-run"],
        ["dead", "retry", id_of(1), id_of(6), "no-such", "--yes"],
        ["dead", "discard", id_of(3), "--reason", "paid", "--yes"],
        ["dead", "discard", "--handler", "shop.legacy:sync", "--pending", "--reason", "gone", "--yes"],
        ["dead", "discard", "--handler", "shop.legacy:sync", "--pending", "--reason", "gone", "--yes"],
        ["dead", "retry", "--yes"],
        ["dead", "list"],
    ],
    "handlers": [
        ["handlers", "list", "-m", "shop"],
        ["handlers", "show", "shop.billing:charge", "-m", "shop"],
        ["handlers", "show", "chrge", "-m", "shop"],
        ["handlers", "check", "-m", "shop"],
    ],
    "history": [
        ["config", "show"],
        ["tail", "--no-follow", "--grep", "no such text"],
        ["show", "no-such-event"],
        ["show", id_of(7)],
        ["trace", id_of(7)],
        ["export", "there.ndjson"],
        ["import", "-"],
        ["import", "bad.ndjson", "--yes"],
        ["prune", "redact", "--tenant", "unknown", "--yes"],
        ["prune", "--older-than", "90d", "--archive", "old.ndjson"],
        ["replay", "--tennant", "x"],
        ["replay", "--since", "soon"],
    ],
}


@pytest.mark.parametrize("area", COMMANDS)
def test_the_messages_are_worded_as_in_their_golden_file(
    cli: Cli, golden: Golden, log: Log, tmp_path: Path, area: str
) -> None:
    log.insert(*GRAVEYARD)
    (tmp_path / "there.ndjson").touch()
    (tmp_path / "bad.ndjson").write_text("no json\n")
    with application(tmp_path, {"shop.py": SHOP}):
        runs = [(args, cli(*args)) for args in COMMANDS[area]]
    text = "\n".join(f"$ craft-events {shlex.join(args)}\n{ended.err}exit {ended.code}\n" for args, ended in runs)
    text = text.replace(log.database, "DATABASE").replace(log.uri.split("/")[2], "HOST")
    golden(f"messages-{area}", re.sub(r"\d+\.\d s", "0.0 s", text))
