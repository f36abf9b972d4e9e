"""Both endpoints of metrics as processes, read while an incident runs."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import socket
import subprocess
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from craft_easy.core.events import DomainEvent
from craft_easy.core.events.clock import steady
from craft_easy.core.events.operations import pauses
from craft_easy.core.events.store import EventStore
from tests.support.conditions import until
from tests.support.endpoints import Endpoint, Reply, get
from tests.support.promql import RULES, queries
from tests.support.server import Server

pytestmark = pytest.mark.slow

SHOP: Final = """
import asyncio, time
from craft_easy.core.events import Retry, RetryPolicy, event_handler

@event_handler("order.*", id="shop:mail", retry=RetryPolicy(max_attempts=2, delay=0))
async def mail(event):
    raise ConnectionError("mail is down")

@event_handler("report.*", id="shop:later")
async def later(event):
    raise Retry(after=3600)

@event_handler("video.*", id="shop:cut")
async def cut(event):
    await asyncio.sleep(event.payload["s"])

@event_handler("film.*", id="shop:block")
def block(event):
    time.sleep(event.payload["s"])
"""
KINDS: Final = {"order.placed": "shop:mail", "report.made": "shop:later", "video.sent": "shop:cut"} | {
    "film.sent": "shop:block",
    "legacy.sent": "shop:gone",
}


class Shop:
    """A log, and the processes on it."""

    def __init__(self, uri: str, database: str, directory: Path) -> None:
        (directory / "shop.py").write_text(SHOP)
        self._uri, self._database = uri, database
        self._where = ["--uri", uri, "--database", database]
        self._app = ["-m", "shop", "--app-dir", str(directory)]

    def metrics(self, *options: str) -> Endpoint:
        return Endpoint("metrics", "--listen", "127.0.0.1:0", "--interval", "1s", *self._where, *options)

    def worker(self, *options: str) -> Endpoint:
        return Endpoint("redispatch", "--watch", "--metrics", "127.0.0.1:0", *self._where, *self._app, *options)

    def publish(self, event_type: str, **payload: Any) -> None:
        """Store an event that its handler has not run for, as a publisher leaves it that was killed."""

        async def publish() -> None:
            async with EventStore(self._database, uri=self._uri) as store:
                event = DomainEvent(event_type=event_type, payload=payload)
                await store.append_many([event], handlers=[KINDS[event_type]])

        asyncio.run(publish())

    def pause(self, handler: str) -> None:
        """Pause a handler."""

        async def pause() -> None:
            async with EventStore(self._database, uri=self._uri) as store:
                await pauses.pause(store, handler, by="ann@db-1")

        asyncio.run(pause())


@pytest.fixture
def shop(embedded_uri: str, database_name: str, tmp_path: Path) -> Shop:
    return Shop(embedded_uri, database_name, tmp_path)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "server") as server:
        yield server


def test_an_incident_is_seen_at_both_endpoints(shop: Shop) -> None:
    with shop.metrics() as backlog:
        until(lambda: "there is no collection event_log" in backlog.health().text, seconds=30)
        assert backlog.health().status == 503
        assert backlog.has(up=0)

        shop.publish("order.placed")
        until(lambda: backlog.has(up=1, due_events=1, due_deliveries__shop_mail=1, workers__alive=0), seconds=30)
        assert backlog.health().status == 200

        with shop.worker("--lease", "1") as worker:
            until(lambda: worker.has(deliveries_total__shop_mail__dead=1), seconds=30)
            assert worker.has(deliveries_total__shop_mail__failed=1, retries_total__shop_mail=1, up=1, healthy=1)
            until(lambda: backlog.has(dead_deliveries__shop_mail=1, due_events=0, workers__alive=1), seconds=30)

            shop.publish("video.sent", s=100)
            until(lambda: worker.has(running_deliveries__shop_cut=1, records_owned=1), seconds=30)
            until(lambda: backlog.has(owned_events=1, owned_deliveries__shop_cut=1), seconds=30)
            worker.run.process.kill()
        until(lambda: backlog.has(workers__alive=0, workers__silent=1, owned_events=1), seconds=30)
        with shop.worker("--lease", "1"):
            until(lambda: backlog.has(workers__alive=1, workers__silent=0, owned_events=1), seconds=30)


def test_an_outage_leaves_out_the_numbers_and_restarts_no_worker(
    server: Server, database_name: str, tmp_path: Path
) -> None:
    shop = Shop(server.uri, database_name, tmp_path)
    shop.publish("report.made")
    with shop.metrics() as backlog, shop.worker("--lease", "1") as worker:
        until(lambda: backlog.has(up=1, waiting_events=1, workers__alive=1), seconds=30)
        until(lambda: worker.has(up=1, lease_held=1), seconds=30)
        server.kill()
        until(lambda: backlog.has(up=0) and worker.has(up=0, lease_held=0), seconds=60)
        assert not any("deliveries" in name or "workers" in name for name in backlog.samples())
        assert backlog.health().status == 503
        assert _all_through(3, worker.health) == {200}
        server.start()
        until(lambda: backlog.has(up=1, waiting_events=1, workers__alive=1), seconds=60)
        until(lambda: worker.has(up=1, lease_held=1), seconds=60)
        assert (backlog.health().status, worker.health().status) == (200, 200)


def _all_through(seconds: float, health: Callable[[], Reply]) -> set[int]:
    """Return the statuses of a probe during some seconds."""
    statuses, end = set(), steady() + seconds
    while steady() < end:
        statuses.add(health().status)
    return statuses


def test_the_probe_answers_while_a_handler_blocks_the_loop_and_fails_when_that_is_too_long(shop: Shop) -> None:
    shop.publish("film.sent", s=100)
    with shop.worker("--lease", "3", "--timeout", "1") as worker:
        until(lambda: worker.samples().get("craft_events_loop_age_seconds{}", 0) > 1, seconds=30)
        assert worker.health() == Reply(200, "ok\n")
        until(lambda: worker.health().status in (503, 0), seconds=30)
        assert worker.run.ended() == 3


def test_scrapes_ask_the_database_nothing(shop: Shop) -> None:
    shop.publish("report.made")
    with shop.metrics("--interval", "1h") as backlog:
        until(lambda: backlog.has(up=1), seconds=30)
        for _ in range(50):
            assert backlog.has(polls_total__answered=1, polls_total__failed=0)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_it_and_frees_the_port(shop: Shop, number: signal.Signals, code: int) -> None:
    with shop.metrics() as backlog:
        backlog.run.process.send_signal(number)
        assert backlog.run.ended() == code
        assert backlog.run.out.rest() == []
        host, _, port = backlog.address.partition(":")
        socket.create_server((host, int(port))).close()


# ---------------------------------------------------------------- Prometheus

PROMETHEUS: Final = """
global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}
rule_files: ["%(rules)s"]
scrape_configs:
  - job_name: craft-events
    static_configs: [{targets: ["%(backlog)s"]}]
  - job_name: craft-events-worker
    static_configs: [{targets: ["%(worker)s"]}]
"""
QUIET: Final = {"CraftEventsEndpointDown", "CraftEventsLogDown", "CraftEventsDataStale", "CraftEventsWorkerSilent"} | {
    "CraftEventsNotDelivered",
    "CraftEventsNoWorker",
    "CraftEventsDying",
    "CraftEventsOldestOpen",
    "CraftEventsWorkerUnhealthy",
    "CraftEventsLoopBlocked",
}
"""Alerts with no reason in the incident; `alerts.test.yaml` has one for each."""


class Prometheus:
    """A Prometheus server that scrapes both endpoints each second."""

    def __init__(self, directory: Path, **values: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._address = f"127.0.0.1:{free.getsockname()[1]}"
        (directory / "prometheus.yaml").write_text(PROMETHEUS % values)
        program = shutil.which("prometheus")
        assert program, "these tests need Prometheus: apt-get install prometheus"
        options = ["--config.file=prometheus.yaml", "--storage.tsdb.path=data", f"--web.listen-address={self._address}"]
        with (directory / "prometheus.log").open("wb") as log:
            self._process = subprocess.Popen([program, *options], cwd=directory, stdout=log, stderr=log)

    def __enter__(self) -> Prometheus:
        until(lambda: get(self._address, "/-/ready").status == 200, seconds=60)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def query(self, expression: str) -> list[Any]:
        """Evaluate an expression now."""
        reply = get(self._address, f"/api/v1/query?query={urllib.parse.quote(expression)}", 30)
        answer = json.loads(reply.text)
        assert answer["status"] == "success", (expression, reply.text)
        found: list[Any] = answer["data"]["result"]
        return found


def test_prometheus_answers_every_query_of_the_dashboard_during_an_incident(shop: Shop, tmp_path: Path) -> None:
    for event_type in ("order.placed", "report.made", "legacy.sent"):
        shop.publish(event_type)
    shop.publish("video.sent", s=100)
    shop.pause("shop:paused")
    with shop.metrics() as backlog, shop.worker() as worker:
        addresses = {"backlog": backlog.address, "worker": worker.address}
        with Prometheus(tmp_path, rules=str(RULES), **addresses) as prometheus:
            until(lambda: len(prometheus.query("craft_events_up == 1")) == 2, seconds=60)
            shop.publish("order.placed")  # after the first scrapes: a rate needs a value from before
            waiting = {one.place: one for one in queries() if one.place.removeprefix("alert ") not in QUIET}
            assert len(waiting) > 30
            end = steady() + 60
            while waiting and steady() < end:
                answered = [one for one in waiting.values() if _has_number(prometheus.query(one.expression))]
                for one in answered:
                    del waiting[one.place]
            assert list(waiting) == []
            for one in queries():
                prometheus.query(one.expression)
            firing = {alert["metric"]["alertname"] for alert in prometheus.query("ALERTS")}
            assert firing & QUIET == set()


def _has_number(result: list[Any]) -> bool:
    return any(one["value"][1] != "NaN" for one in result)


@pytest.mark.parametrize("arguments", [("check", "rules", str(RULES)), ("test", "rules", "alerts.test.yaml")])
def test_promtool_accepts_the_rules_and_each_alert_fires_for_its_reason(arguments: tuple[str, ...]) -> None:
    program = shutil.which("promtool")
    assert program, "these tests need Prometheus: apt-get install prometheus"
    ended = subprocess.run([program, *arguments], cwd=Path(__file__).parent, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
