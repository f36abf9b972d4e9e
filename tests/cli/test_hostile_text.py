"""1,000 hostile texts through every renderer: no control character is printed."""

from __future__ import annotations

import io
import random
import sys
import types
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import cache, lru_cache
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import pytest

from craft_easy.core.events.engine import report
from craft_easy.core.events.handlers.registry import Registry
from craft_easy.core.events.history import trace
from craft_easy.core.events.model import delivery
from craft_easy.core.events.model.figures import Counts
from craft_easy.core.events.operations import dead, prune, redact, stats, unfinished_delivery
from craft_easy.core.events.operations.doctor import finding
from craft_easy.core.events.operations.import_ import Imported, Refused
from craft_easy.core.events.operations.workers import WorkerStatus
from craft_easy.core.events.redispatch import RedispatchSummary
from craft_easy.core.events.store.documents import to_document
from craft_easy.core.events.store.formats import event_json
from craft_events_cli import errors, terminal
from craft_events_cli.output import (
    config,
    counts,
    events,
    findings,
    handlers,
    importing,
    looks,
    redispatch,
    show,
    unfinished,
)
from craft_events_cli.output import dead as dead_lines
from craft_events_cli.output import pruning as pruning_lines
from craft_events_cli.output import trace as trace_lines
from craft_events_cli.output import workers as workers_lines
from craft_events_cli.output.config import Setting
from craft_events_cli.output.rows import write_rows
from craft_events_cli.output.table import CYAN, Column, Table
from craft_events_cli.terminal import Output

TEXTS: Final = 1_000
AT: Final = datetime(2026, 1, 31, 10, tzinfo=UTC)
FORBIDDEN: Final = frozenset(
    chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) in ("Cc", "Cf", "Cs", "Zl", "Zp")
)
PIECES: Final = (
    "\x1b[31m", "\x1b]52;c;aGk=\x07", "\x1b]8;;http://x\x1b\\", "\x9b2J", "\x1b[?1049h", "\x1bP1$r\x1b\\", "\r", "\n",
    "\t", "\b" * 9, "\x7f", "\x00", "\u202e", "\u2066", "\u200b", "\ufeff", "\u2028", "\u2029", "\u0085", "\u00ad",
    "[red]", "[/bold]", "[link=x]", "{0.__class__}", "%s%n", "=1+1", "@sum", "-x", ",\"'", "✓", "é", "日本", "😀",
    "e\u0301", "\ufdd0", "\U0010ffff", "\ue000", "plain", " ", "a" * 80, "$(touch x)", "`x`", "'; rm -rf ~", "mongodb://u:p@h/",
)  # fmt: skip


@lru_cache
def texts() -> Sequence[str]:
    """Return the hostile texts; each forbidden character is in one of them, except surrogates."""
    chance = random.Random(20_26)
    odd = sorted(FORBIDDEN - {chr(code) for code in range(0xD800, 0xE000)})
    found = ["".join(chance.choice(PIECES if chance.random() < 0.6 else odd) for _ in range(3)) for _ in range(TEXTS)]
    return [*found[: -len(odd)], *(f"a{character}b" for character in odd)]


# ------------------------------------------------------------------ values of any type, full of hostile texts


class Supply:
    """Makes values of a type from the hostile texts, until all of them are used."""

    def __init__(self, share: int = 1) -> None:
        self._texts = iter(texts()[::share])
        self.is_empty = False

    def text(self) -> str:
        found = next(self._texts, None)
        self.is_empty = self.is_empty or found is None
        return found or "x"

    def many(self, kind: Any, **given: Any) -> list[Any]:
        """Make values until the texts are used up."""
        found = []
        while not self.is_empty:
            found.append(self.one(kind, **given))
        return found

    def one(self, kind: Any, **given: Any) -> Any:
        """Make a value of this type; fields of a dataclass can be given."""
        if kind is str or kind is Any or kind is object:
            return self.text()
        if is_dataclass(kind) and isinstance(kind, type):
            hints = _types_of(kind)
            made = {one.name: self.one(hints[one.name]) for one in fields(kind) if one.init and one.name not in given}
            return kind(**made, **given)
        if kind in _PLAIN:
            return _PLAIN[kind]
        return self._generic(get_origin(kind) or kind, get_args(kind))

    def _generic(self, origin: Any, kinds: tuple[Any, ...]) -> Any:
        if origin is Literal:
            return kinds[0]
        if origin in (Union, types.UnionType):
            return self.one(next(one for one in kinds if one is not type(None)))
        if origin is Counter:
            return Counter({self.one(kinds[0]): 7})
        if isinstance(origin, type) and issubclass(origin, Enum):
            return next(iter(origin))
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return {self.one(kinds[0]): self.one(kinds[1]) for _ in range(2)}
        if origin in (tuple, list, Sequence):
            return (tuple if origin is tuple else list)(self.one(kinds[0]) for _ in range(2))
        raise TypeError(f"nothing is known of {origin}")


@cache
def _types_of(kind: type) -> dict[str, Any]:
    return get_type_hints(kind, _NAMES | vars(sys.modules[kind.__module__]))


_PLAIN: Final[Mapping[Any, Any]] = {
    int: 7,
    float: 1.5,
    bool: True,
    datetime: AT,
    timedelta: timedelta(hours=1),
    type(None): None,
}
_NAMES: Final[dict[str, Any]] = {"Delivery": delivery.Delivery, "Counts": Counts}


def record(supply: Supply) -> dict[str, Any]:
    """Return a record in the form that the codec of event_json decodes."""
    names = ("event_id", "event_type", "tenant_id", "actor_id", "causation_id", "correlation_id")
    return {
        "_id": 1,
        **{name: supply.text() for name in names},
        "payload": {supply.text(): [supply.text(), {supply.text(): supply.text()}]},
        "timestamp": AT.replace(tzinfo=None),
        "delivery": naive(to_document(supply.one(delivery.Delivery, state="dead", handlers=dead_handlers(supply)))),
    }


def dead_handlers(supply: Supply) -> tuple[delivery.HandlerDelivery, ...]:
    states: tuple[Any, ...] = ("dead", "pending", "skipped", "done")
    return tuple(supply.one(delivery.HandlerDelivery, state=state) for state in states)


def naive(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.replace(tzinfo=None)
    if isinstance(value, dict):
        return {name: naive(one) for name, one in value.items()}
    return [naive(one) for one in value] if isinstance(value, list) else value


def records() -> list[dict[str, Any]]:
    supply, found = Supply(), list[dict[str, Any]]()
    while not supply.is_empty:
        found.append(record(supply))
    return found


# ------------------------------------------------------------------ renderers


def write_events(output: Output) -> None:
    out = events.writer(output)
    out.begin()
    out.write(records())
    out.close()


def write_shown() -> None:
    for one in records():
        show.write_event(event_json.event_json(one))


def write_dead(output: Output) -> None:
    for listing in (unfinished.DEAD, unfinished.PENDING):
        out = unfinished.UnfinishedWriter(listing, output, AT)
        out.begin()
        for one in Supply().many(unfinished_delivery.UnfinishedDelivery):
            out.write(one)
        out.close()


def write_deaths(output: Output) -> None:
    for by in ("error", "handler", "type", "tenant"):
        for listing in (unfinished.DEAD, unfinished.PENDING):
            unfinished.write_groups(listing, Supply().many(unfinished_delivery.DeliveryGroup), by, output, AT)


def write_dead_acted(output: Output) -> None:
    out = dead_lines.Acted("retried", "dead", output, None)
    out.begin()
    supply = Supply()
    for one in supply.many(unfinished_delivery.UnfinishedDelivery):
        out.stored(one)
    out.close()
    out.write_summary(Supply().one(dead.Touched), 1.0)


def write_workers() -> None:
    found = Supply().many(WorkerStatus)
    workers_lines.write_table(found)
    terminal.note(workers_lines.summary(found))


def write_traces() -> None:
    supply = Supply()
    while not supply.is_empty:
        found = supply.one(trace.Trace)
        trace_lines.write_tree(found)
        for line in trace_lines.summary(found):
            terminal.note(line)


def write_findings(output: Output) -> None:
    out = findings.Findings(output)
    out.begin()
    for one in Supply().many(finding.Finding, check="connection"):
        out.write(one)
    out.close()
    terminal.note(out.summary())


def write_stats(output: Output) -> None:
    supply = Supply()
    while not supply.is_empty:
        found = supply.one(stats.Stats, groups=tuple(supply.one(stats.StatsGroup) for _ in range(200)))
        out = looks.Looks(output, lambda _: "last 24 h")
        out.write(found, [supply.one(stats.Crossing)], [supply.text()])


def write_reports(output: Output) -> None:
    with redispatch.RedispatchView(output) as out:
        for one in Supply().many(report.DeliveryReport):
            out.show(one)
        out.write_summary(Supply().one(RedispatchSummary))


def write_counts(output: Output) -> None:
    supply = Supply()
    found = Counts()
    while not supply.is_empty:
        found.add({"event_type": supply.text(), "tenant_id": supply.text()}, [supply.text()])
    counts.write_counts(found, output)


def write_refused(output: Output) -> None:
    with importing.ImportView(Supply().text(), output, rejects=None) as out:
        for one in Supply().many(Refused):
            out.observe(one)
        out.write_summary(Supply().one(Imported), with_delivery=True)


def write_settings() -> None:
    config.write_settings(Supply().many(Setting, setting="uri"))


def write_handlers() -> None:
    registry = Registry()
    supply = Supply(share=20)  # Rich measures each column of each row
    while not supply.is_empty:
        registry.subscribe(
            supply.text() or "x", lambda event: None, id=f"{supply.text()}{len(registry.subscriptions())}"
        )
    handlers.write_table(registry.subscriptions())


def write_pruned(output: Output) -> None:
    out = pruning_lines.Pruner(Supply().text(), output)
    out.write_summary(Supply().one(prune.Pruned))
    supply = Supply()
    kept = {supply.text(): supply.text() for _ in range(9)}
    pruning_lines.Redactor([supply.text()], [supply.text()], output).write_summary(redact.Redacted(Counts(), kept))


def write_cells(output: Output) -> None:
    rows: list[dict[str, Any]] = [{"one": one, "two": {one: [one]}} for one in texts()]
    if output is Output.TABLE:
        Table([Column("one"), Column("two", least=4, style=CYAN)]).write([{**row, "two": row["one"]} for row in rows])
    else:
        write_rows(rows, ("one", "two"), output)


def write_notes() -> None:
    for one in texts():
        terminal.note(one)
        terminal.warn(one)


def write_errors() -> None:
    for one in texts():
        errors.report(errors.UsageError(one, hint=one))
        errors.report(ValueError(one))


IN_EVERY_FORMAT: Final[Sequence[Callable[[Output], Any]]] = (
    write_events,
    write_dead,
    write_deaths,
    write_dead_acted,
    write_findings,
    write_stats,
    write_reports,
    write_counts,
    write_refused,
    write_pruned,
    write_cells,
)
FOR_PEOPLE: Final[Sequence[Callable[[], Any]]] = (
    write_shown,
    write_workers,
    write_traces,
    write_settings,
    write_handlers,
    write_notes,
    write_errors,
)
Written = Callable[[], Sequence[str]]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Written:
    """Capture stdout and stderr."""
    data = io.BytesIO()
    stream = io.TextIOWrapper(data, "utf-8", newline="\n")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(terminal._state, "stdout", stream)

    def written() -> Sequence[str]:
        stream.flush()
        return data.getvalue().decode(), capsys.readouterr().err

    return written


def check(texts: Sequence[str]) -> None:
    for text in texts:
        assert not (set(text.replace("\r\n", "\n")) & FORBIDDEN) - {"\n"}
    assert any(texts)


@pytest.mark.parametrize("output", Output)
@pytest.mark.parametrize("write", IN_EVERY_FORMAT, ids=lambda one: one.__name__)
def test_no_control_character_is_printed_in_any_format(
    written: Written, write: Callable[[Output], Any], output: Output
) -> None:
    write(output)
    check(written())


@pytest.mark.parametrize("write", FOR_PEOPLE, ids=lambda one: one.__name__)
def test_no_control_character_is_printed_in_lines_for_people(written: Written, write: Callable[[], Any]) -> None:
    write()
    check(written())
