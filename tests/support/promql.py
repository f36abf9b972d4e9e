"""The queries of the dashboard and of the alert rules, and what they ask for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import promql_parser
import yaml

FOLDER: Final = Path(__file__).parents[2] / "docs" / "howto" / "monitoring"
DASHBOARD: Final = FOLDER / "dashboard.json"
RULES: Final = FOLDER / "alerts.yaml"
OF_THE_SCRAPE: Final = {"job", "instance"}
"""Labels that Prometheus adds to each scraped series."""


@dataclass(frozen=True, slots=True)
class Query:
    """A query: where it is from, and its expression without variables of Grafana."""

    place: str
    expression: str


def dashboard() -> dict[str, Any]:
    """Return the dashboard."""
    found: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return found


def rules() -> list[dict[str, Any]]:
    """Return the alert rules."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def queries() -> list[Query]:
    """Return all queries, those of the dashboard as they are with All chosen in each variable."""
    panels = dashboard()["panels"]
    shown = [
        Query(f"panel {panel['title']} {target['refId']}", without_variables(target["expr"]))
        for panel in panels
        for target in panel.get("targets", ())
    ]
    return [*shown, *(Query(f"alert {rule['alert']}", rule["expr"]) for rule in rules())]


def without_variables(expression: str) -> str:
    """Return an expression as Grafana sends it, for an interval of a minute."""
    found = expression.replace("$__rate_interval", "1m")
    return re.sub(r"\$\w+", ".*", found)


@dataclass(frozen=True, slots=True)
class Selected:
    """A metric that a query selects, and the labels that it asks for: in matchers, or in the clauses around it."""

    metric: str
    labels: frozenset[str]


def selected(expression: str) -> list[Selected]:
    """Return what a query selects."""
    return list(_walk(promql_parser.parse(expression), frozenset()))


def _walk(node: Any, around: frozenset[str]) -> Iterator[Selected]:
    if isinstance(node, promql_parser.VectorSelector):
        matched = {matcher.name for matcher in node.matchers.matchers}
        yield Selected(str(node.name), around | matched)
    elif isinstance(node, promql_parser.MatrixSelector):
        yield from _walk(node.vector_selector, around)
    elif isinstance(node, promql_parser.AggregateExpr):
        yield from _walk(node.expr, around | frozenset(node.modifier.labels if node.modifier else ()))
    elif isinstance(node, promql_parser.BinaryExpr):
        matching = node.modifier.matching if node.modifier else None
        inside = around | frozenset(matching.labels if matching else ())
        yield from (*_walk(node.lhs, inside), *_walk(node.rhs, inside))
    elif isinstance(node, promql_parser.Call):
        for argument in node.args:
            yield from _walk(argument, around)
    elif isinstance(node, (promql_parser.ParenExpr, promql_parser.UnaryExpr, promql_parser.SubqueryExpr)):
        yield from _walk(node.expr, around)
