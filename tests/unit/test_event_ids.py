"""Ids of events from a file: lines that are read, and lines that are refused by their number."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from craft_events_cli import event_ids
from craft_events_cli.errors import UsageError


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a\nb\n", {"a": None, "b": None}),
        (b"a\r\n\r\n  b", {"a": None, "b": None}),
        (b"\xef\xbb\xbfa\n", {"a": None}),
        (b'"a b"\n', {"a b": None}),
        (b'{"event_id": "a"}\n', {"a": None}),
        (b'{"event_id": "a", "handler": "h"}\n{"event_id": "a", "handler": "i"}\n', {"a": frozenset({"h", "i"})}),
        (b'{"event_id": "a", "handler": "h"}\na\n', {"a": None}),
        (b'a\n{"event_id": "a", "handler": "h"}\n', {"a": None}),
        (b'{"event_id": "a", "handler": null, "payload": {"x": 1}}\n', {"a": None}),
        (b"\xc3\xa9\n", {"é": None}),
        (b"", {}),
    ],
)
def test_a_line_names_an_event_and_maybe_its_handler(
    tmp_path: Path, content: bytes, expected: dict[str, frozenset[str] | None]
) -> None:
    (tmp_path / "ids").write_bytes(content)
    assert event_ids.read(str(tmp_path / "ids")) == expected


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a\n{\n", "line 2: not valid JSON"),
        (b"{}\n", 'line 1: no valid "event_id"'),
        (b'{"event_id": 1}\n', 'line 1: no valid "event_id"'),
        (b'""\n', 'line 1: no valid "event_id"'),
        (b"a\nb\n\xff\n", "line 3: "),
        (b"x" * 1_001, "line 1: an id of more than 1,000 characters"),
        (b'{"event_id": ' + b"[" * 100_000, "line 1: nested too deeply"),
    ],
)
def test_a_line_without_an_id_is_reported_by_its_number(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "ids").write_bytes(content)
    with pytest.raises(UsageError) as refused:
        event_ids.read(str(tmp_path / "ids"))
    assert reason in str(refused.value)
    assert refused.value.hint


def test_a_line_without_end_is_not_read_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_ids, "MAX_LINE", 100)
    (tmp_path / "ids").write_bytes(b'{"event_id": "a", "x": "' + b"x" * 200)
    with pytest.raises(UsageError, match="line 1: more than 100 bytes"):
        event_ids.read(str(tmp_path / "ids"))


@pytest.mark.parametrize("name", ["missing", ".", "a\0b"])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="--ids-from"):
        event_ids.read(str(tmp_path / name))


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\n")))
    assert event_ids.read("-") == {"a": None}
