"""One trace through a publish, `kill -9`, and the redispatch of another process, as their exporters wrote it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from tests.acceptance.traced import DIRECTORY, HANGS
from tests.support.processes import PROGRAM

pytestmark = pytest.mark.slow

ROOT: Final = Path(__file__).parents[2]
Span = dict[str, Any]


def spans_of(directory: Path, process: int) -> dict[str, Span]:
    """Return the spans that a process wrote, by name."""
    lines = (directory / f"{process}.ndjson").read_text().splitlines()
    return {span["name"]: span for span in map(json.loads, lines)}


def test_a_delivery_after_kill_9_is_in_the_trace_of_its_publish_and_linked_to_it(
    embedded_uri: str, database_name: str, tmp_path: Path
) -> None:
    environ = os.environ | {
        "CRAFT_EVENTS_URI": embedded_uri,
        "CRAFT_EVENTS_DATABASE": database_name,
        DIRECTORY: str(tmp_path),
    }
    publisher = subprocess.Popen(
        [sys.executable, "-m", "tests.acceptance.traced.publisher"],
        cwd=ROOT,
        env=environ | {HANGS: "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    with publisher:
        assert publisher.stdout is not None
        assert publisher.stdout.readline() == "running\n"
        publisher.kill()
    command = (PROGRAM, "redispatch", "-m", "tests.acceptance.traced.handlers", "-o", "json")
    redispatch = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True)
    summary = json.loads(redispatch.communicate(timeout=60)[0])
    assert (summary["taken_over"], summary["done"]) == (1, 1)

    before, after = spans_of(tmp_path, publisher.pid), spans_of(tmp_path, redispatch.pid)
    assert list(before) == ["publish order.placed", "POST /orders"]  # the span of the killed attempt never ended
    assert list(after) == ["publish mail.sent", "smtp", "process shop:mail"]
    request, publish, process = before["POST /orders"], before["publish order.placed"], after["process shop:mail"]
    assert {span["context"]["trace_id"] for span in (before | after).values()} == {request["context"]["trace_id"]}
    assert publish["parent_id"] == request["context"]["span_id"]
    [link] = process["links"]
    assert link["context"]["span_id"] == process["parent_id"] == publish["context"]["span_id"]
    assert link["attributes"]["messaging.message.id"] == publish["attributes"]["messaging.message.id"]
    assert after["smtp"]["parent_id"] == process["context"]["span_id"]
    assert "4242" not in json.dumps([before, after])
