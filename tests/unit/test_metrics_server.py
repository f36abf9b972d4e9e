"""The HTTP server of the metrics."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Gauge

from craft_events_cli import terminal
from craft_events_cli.errors import UsageError
from craft_events_cli.metrics.address import ListenAddress
from craft_events_cli.metrics.server import Health, serving

WELL = Health(is_well=True, text="ok")


@pytest.fixture(autouse=True)
def no_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the lines of other tests without a time."""
    monkeypatch.setattr(terminal._state, "is_service", False)


@pytest.fixture
def registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    Gauge("answer", "A number.", registry=registry).set(42)
    return registry


@pytest.fixture
def port(registry: CollectorRegistry) -> Iterator[int]:
    with serving(ListenAddress("127.0.0.1", 0), registry, lambda: WELL) as port:
        yield port


def asked(port: int, path: str, method: str = "GET", host: str = "127.0.0.1") -> tuple[int, str]:
    """Return the status and the body of a reply."""
    connection = http.client.HTTPConnection(host, port, timeout=30)
    connection.request(method, path)
    reply = connection.getresponse()
    found = reply.status, reply.read().decode()
    connection.close()
    return found


def test_each_path_has_its_answer(port: int) -> None:
    assert "\nanswer 42.0\n" in asked(port, "/metrics")[1]
    assert asked(port, "/healthz") == (200, "ok\n")
    assert asked(port, "/") == (200, "craft-events: /metrics and /healthz\n")
    assert asked(port, "/metric")[0] == 404


def test_only_what_reads_is_allowed(port: int) -> None:
    assert asked(port, "/metrics", "HEAD") == (200, "")
    assert asked(port, "/healthz", "HEAD") == (200, "")
    assert {asked(port, path, "POST")[0] for path in ("/", "/metrics", "/healthz")} == {405}


def test_a_health_that_is_not_well_is_503_and_has_no_raw_character(registry: CollectorRegistry) -> None:
    with serving(ListenAddress("127.0.0.1", 0), registry, lambda: Health(is_well=False, text="a\x1b[2J")) as port:
        assert asked(port, "/healthz") == (503, "a\\x1b[2J\n")


def test_every_address_of_the_machine_is_listened_on_with_a_warning(
    registry: CollectorRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(ListenAddress("", 0), registry, lambda: WELL) as port:
        hosts = ["127.0.0.1", "::1"] if socket.has_dualstack_ipv6() else ["127.0.0.1"]
        assert {asked(port, "/healthz", host=host) for host in hosts} == {(200, "ok\n")}
    err = capsys.readouterr().err
    assert f"metrics on http://0.0.0.0:{port}/metrics" in err
    assert "has no login" in err


def test_a_loopback_address_needs_no_warning(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert "login" not in capsys.readouterr().err


def test_the_port_is_free_again_after_the_block(registry: CollectorRegistry) -> None:
    with serving(ListenAddress("127.0.0.1", 0), registry, lambda: WELL) as port:
        taken = serving(ListenAddress("127.0.0.1", port), registry, lambda: WELL)
        with pytest.raises(UsageError, match="Address already in use"):
            taken.__enter__()
    with serving(ListenAddress("127.0.0.1", port), registry, lambda: WELL):
        assert asked(port, "/healthz")[0] == 200


def test_a_client_that_sends_nothing_keeps_no_other_waiting(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)):
        assert asked(port, "/healthz")[0] == 200
