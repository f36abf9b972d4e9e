"""The HTTP server: `/metrics` for Prometheus and `/healthz` for a probe.

It runs in threads of its own, so that it answers while an event loop is blocked.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from importlib.util import find_spec
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from craft_events_cli import terminal
from craft_events_cli.errors import UsageError
from craft_events_cli.metrics.address import ListenAddress

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

READ_S: Final = 10.0
"""Seconds that a client has for its request: a thread waits for it."""
_TEXT: Final = ("Content-Type", "text/plain; charset=utf-8")

Application = Callable[[dict[str, Any], Callable[..., Any]], Sequence[bytes]]


@dataclass(frozen=True, slots=True)
class Health:
    """The answer to a probe: whether all is well, and why not or what is known."""

    is_well: bool
    text: str


def require_client() -> None:
    """Check that the client library of Prometheus is installed.

    Raises:
        UsageError: it is not.
    """
    if find_spec("prometheus_client") is None:
        raise UsageError(
            "metrics need prometheus-client, which is not installed", hint="pip install 'craft-events[metrics]'"
        )


@contextmanager
def serving(address: ListenAddress, registry: CollectorRegistry, health: Callable[[], Health]) -> Iterator[int]:
    """Answer scrapes and probes until the block ends; give the port.

    Raises:
        UsageError: the address cannot be listened on.
    """
    server = _listening(address)
    server.set_app(application(registry, health))
    host, port = address.host, server.server_address[1]
    os.register_at_fork(after_in_child=server.socket.close)  # a child of a handler must not keep the port
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    terminal.serving()
    _introduce(ListenAddress(host, port))
    try:
        yield port
    finally:
        server.shutdown()
        server.server_close()


def _introduce(address: ListenAddress) -> None:
    shown = address if address.host else ListenAddress("0.0.0.0", address.port)
    terminal.note(f"metrics on http://{shown}/metrics, health on http://{shown}/healthz")
    if not address.is_loopback:
        terminal.warn(f"{shown} is reachable from other machines, and has no login: anyone there reads these metrics")


def _listening(address: ListenAddress) -> _Server:
    try:
        return _Server(address)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(
            f"{address} cannot be listened on: {reason}",
            hint="choose another port, or port 0 for a free one",
        ) from None


def application(registry: CollectorRegistry, health: Callable[[], Health]) -> Application:
    """Return the WSGI application."""
    from prometheus_client import make_wsgi_app

    metrics = make_wsgi_app(registry)

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Sequence[bytes]:
        path, method = environ.get("PATH_INFO", ""), environ.get("REQUEST_METHOD", "")
        if method not in ("GET", "HEAD"):
            return _plain(environ, start, HTTPStatus.METHOD_NOT_ALLOWED, "GET or HEAD\n")
        if path == "/metrics":
            body: Sequence[bytes] = metrics(environ | {"REQUEST_METHOD": "GET"}, start)
            return [] if method == "HEAD" else body
        if path == "/healthz":
            found = health()
            status = HTTPStatus.OK if found.is_well else HTTPStatus.SERVICE_UNAVAILABLE
            return _plain(environ, start, status, f"{terminal.safe(found.text)}\n")
        if path == "/":
            return _plain(environ, start, HTTPStatus.OK, "craft-events: /metrics and /healthz\n")
        return _plain(environ, start, HTTPStatus.NOT_FOUND, "not found: /metrics and /healthz are here\n")

    return answer


def _plain(environ: dict[str, Any], start: Callable[..., Any], status: HTTPStatus, text: str) -> Sequence[bytes]:
    body = text.encode()
    start(f"{status.value} {status.phrase}", [_TEXT, ("Content-Length", str(len(body))), ("Cache-Control", "no-store")])
    return [] if environ.get("REQUEST_METHOD") == "HEAD" else [body]


class _Handler(WSGIRequestHandler):
    """Answers one request, and logs nothing."""

    timeout = READ_S

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base class has it
        return


class _Server(ThreadingMixIn, WSGIServer):
    """Answers each request in a thread of its own."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, address: ListenAddress) -> None:
        self._is_every = not address.host and socket.has_dualstack_ipv6()
        family, where = _resolved(address)
        self.address_family = family
        super().__init__(where, _Handler)

    def server_bind(self) -> None:
        """Bind, without the look-up of this machine's name that the base class does."""
        if self._is_every:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "craft-events", self.server_address[1]
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that has gone."""


def _resolved(address: ListenAddress) -> tuple[socket.AddressFamily, Any]:
    if not address.host:
        return (
            (socket.AF_INET6, ("::", address.port))
            if socket.has_dualstack_ipv6()
            else (
                socket.AF_INET,
                ("", address.port),
            )
        )
    family, _, _, _, where = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    return family, where
