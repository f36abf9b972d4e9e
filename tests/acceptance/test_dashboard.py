"""The dashboard and the alert rules ask for what the endpoints export, and the page lists that."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import combinations
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from pymongo import MongoClient

from craft_easy.core.events import EventBus
from craft_easy.core.events.operations.backlog import BacklogGauges, HandlerGauges
from craft_easy.core.events.store import EventStore
from craft_events_cli.metrics.polling import BacklogPoller
from craft_events_cli.metrics.worker import WorkerMetrics
from tests.acceptance.pages import ROOT, blocks
from tests.support.promql import FOLDER, OF_THE_SCRAPE, RULES, Query, dashboard, queries, rules, selected

DEPLOYMENT = ROOT / "docs/howto/deployment.md"
LOG_NAME = ("shop", "event_log")
Exported = Mapping[str, frozenset[str]]


@pytest.fixture(scope="module")
def exported(embedded_uri: str, mongo_client: MongoClient[dict[str, Any]]) -> Iterator[Exported]:
    """The metrics of a scrape of both endpoints, by name, with the labels of each."""
    database_name = f"craft_test_{secrets.token_hex(6)}"
    yield asyncio.run(_scraped(embedded_uri, database_name))
    mongo_client.drop_database(database_name)


async def _scraped(embedded_uri: str, database_name: str) -> Exported:
    poller, worker, registry = BacklogPoller(10, print, LOG_NAME), WorkerMetrics(LOG_NAME), CollectorRegistry()
    handlers = {"shop:mail": HandlerGauges(open=1)}
    workers = {"alive": 1}
    poller.answered(BacklogGauges(datetime.now(UTC), 1, handlers=handlers, workers=workers), 0.1)  # type: ignore[arg-type]
    ProcessCollector(registry=registry)
    async with EventStore(database_name, uri=embedded_uri) as store, EventBus() as bus:
        bus.configure_store(store)
        bus.subscribe("order.*", lambda _: None, id="shop:mail")
        await bus.publisher.record_owner().worker.ready()
        with worker.following(bus):
            text = generate_latest(registry).decode()
            for collector in (poller, worker):
                own = CollectorRegistry()
                own.register(collector)
                text += generate_latest(own).decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {sample.name: frozenset(sample.labels) for sample in samples} | {"up": frozenset()}


@pytest.mark.parametrize("query", queries(), ids=lambda query: query.place)
def test_a_query_asks_for_metrics_and_labels_that_are_exported(query: Query, exported: Exported) -> None:
    found = selected(query.expression)
    assert found
    for one in found:
        assert one.metric in exported
        assert one.labels - exported[one.metric] - OF_THE_SCRAPE == set()


def test_a_name_that_is_not_exported_is_found() -> None:
    [first, second] = selected('sum by (tenant) (rate(craft_events_x{a="b"}[5m])) / on (job) craft_events_y > 1')
    assert (first.metric, first.labels) == ("craft_events_x", frozenset({"tenant", "a", "job"}))
    assert (second.metric, second.labels) == ("craft_events_y", frozenset({"job"}))


def test_the_page_lists_what_is_exported_with_its_labels(exported: Exported) -> None:
    rows = re.findall(r"^\| `(craft_events_\w+)` \|([^|]*)\|", (FOLDER / "metrics.md").read_text(), re.MULTILINE)
    listed = {name: frozenset(re.findall(r"`(\w+)`", labels)) for name, labels in rows}
    families = {
        re.sub(r"_(bucket|sum|count)$", "", name): labels - {"le"}
        for name, labels in exported.items()
        if name.startswith("craft_events_")
    }
    assert listed == families


def test_the_page_lists_every_alert() -> None:
    _, _, alerts = (FOLDER / "metrics.md").read_text().partition("## Alerts")
    assert sorted(re.findall(r"`(CraftEvents\w+)`", alerts)) == sorted(rule["alert"] for rule in rules())


def test_every_alert_says_what_happened_and_what_to_type() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert set(rule["annotations"]) == {"summary", "action"}
        asked = {label for one in selected(rule["expr"]) for label in one.labels} | OF_THE_SCRAPE
        used = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        assert used <= asked | {"handler"}


def test_the_dashboard_is_one_that_grafana_imports() -> None:
    board = dashboard()
    assert board["schemaVersion"] >= 36
    assert {one["name"] for one in board["templating"]["list"]} == {"datasource", "instance", "worker"}
    panels = board["panels"]
    assert [number for number, times in Counter(panel["id"] for panel in panels).items() if times > 1] == []
    assert {panel["datasource"]["uid"] for panel in panels if panel["type"] != "row"} == {"${datasource}"}
    for first, second in combinations([panel["gridPos"] for panel in panels], 2):
        beside = first["x"] + first["w"] <= second["x"] or second["x"] + second["w"] <= first["x"]
        assert beside or first["y"] + first["h"] <= second["y"] or second["y"] + second["h"] <= first["y"]
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)


def test_the_rules_are_named_on_the_page() -> None:
    assert f"({RULES.name})" in (FOLDER / "metrics.md").read_text()


@pytest.mark.parametrize("kind", ["livenessProbe", "readinessProbe"])
def test_a_probe_of_the_manifests_asks_the_port_that_the_container_listens_on(kind: str) -> None:
    manifests = [one for block in blocks(DEPLOYMENT, "yaml") for one in yaml.safe_load_all(block.text)]
    probed = [
        (one["spec"]["template"], container)
        for one in manifests
        if one.get("kind") == "Deployment"
        for container in one["spec"]["template"]["spec"]["containers"]
        if kind in container
    ]
    assert probed
    for template, container in probed:
        [port] = container["ports"]
        assert container[kind]["httpGet"] == {"path": "/healthz", "port": port["name"]}
        assert container["args"][-1] == f":{port['containerPort']}"
        assert template["metadata"]["annotations"] == {
            "prometheus.io/scrape": "true",
            "prometheus.io/port": str(port["containerPort"]),
        }
