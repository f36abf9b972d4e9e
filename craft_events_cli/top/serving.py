"""The console in a browser, by textual-serve: a process of its own for each page that is open.

A child gets the address of the log by its environment, so that no list of processes shows a password. Whoever reaches
the address sees the log: there is no login. Two things are refused all the same, which would open a console on loopback
to any website that the operator visits: a page of another site that connects to it (its `Origin`), and a name of
another site that leads to this machine (its `Host`, DNS rebinding).
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import socket
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import web
from textual_serve.app_service import AppService
from textual_serve.server import Server, to_int

from craft_events_cli import terminal
from craft_events_cli.address import Address
from craft_events_cli.errors import UsageError

GRACE: Final = 5.0
"""Seconds that a console gets to end before its process is killed."""
MAX_SESSIONS: Final = 20
MAX_CELLS: Final = 1_000
HEARTBEAT: Final = 15.0
"""Seconds between two pings; a browser that does not answer is gone, and its console ends."""
DRIVER: Final = "craft_events_cli.top.web_driver:ConsoleWebDriver"
PAGE: Final = Path(__file__).parent / "page"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ConsoleSession(AppService):
    """The process behind one page."""

    def __init__(self, words: Sequence[str], environment: Mapping[str, str], **connection: Any) -> None:
        super().__init__("", **connection)
        self._words = words
        self._environment = environment

    async def _open_app_process(self, width: int = 80, height: int = 24) -> Process:
        process = await asyncio.create_subprocess_exec(
            *self._words,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env={**self._build_environment(width, height), "TEXTUAL_DRIVER": DRIVER, **self._environment},
        )
        self._process, self._stdin = process, process.stdin
        return process

    async def stop(self) -> None:
        """Ask the console to end, and kill its process where it does not."""
        try:
            async with asyncio.timeout(GRACE):
                await super().stop()
        except TimeoutError:
            self._kill()
        finally:
            if self._process is not None:
                self._kill()
                await self._process.wait()

    def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()


class ConsoleServer(Server):
    """Serves the page, and a session for each browser that opens it.

    Args:
        words: the command of a session.
        environment: the variables that it gets on top of this process's.
        address: where to listen.
        title: the title of the page.
        public_url: the address in the browser where that is a proxy's.
    """

    def __init__(
        self,
        words: Sequence[str],
        environment: Mapping[str, str],
        address: Address,
        *,
        title: str,
        public_url: str | None = None,
    ) -> None:
        super().__init__("", address.host, address.port, title, str(public_url or address.url), templates_path=PAGE)
        self._words = words
        self._environment = environment
        self._sessions: set[asyncio.Task[Any]] = set()
        self._hosts = {address.host, "localhost", socket.gethostname().lower()}
        self._origins: set[str] = set()
        if public_url is not None:
            public = urlsplit(public_url)
            self._hosts.add(public.hostname or "")
            self._origins.add(public.netloc.lower())

    async def on_startup(self, app: web.Application) -> None:
        """Report nothing: the command has reported the address."""

    async def on_shutdown(self, app: web.Application) -> None:
        """End every session."""
        sessions = [*self._sessions]
        for one in sessions:
            one.cancel()
        await asyncio.gather(*sessions, return_exceptions=True)

    async def application(self) -> web.Application:
        """Return the routes of textual-serve, guarded."""
        app = await self._make_app()
        app.middlewares.append(self._guarded)
        return app

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse names of other sites; no other site may frame the page, and the page loads nothing from elsewhere."""
        if not self._is_ours(request.host):
            raise web.HTTPForbidden(text=f"{request.host} is not a name of this console; --public-url names one\n")
        request["nonce"] = secrets.token_urlsafe(16)
        response = await handler(request)
        if not response.prepared:
            response.headers.update(_security_headers(request))
        return response

    async def handle_index(self, request: web.Request) -> web.Response:
        """Return the page."""
        import aiohttp_jinja2

        context = {
            "application": {"name": self.title},
            "font_size": max(6, min(64, to_int(request.query.get("fontsize", "16"), 16))),
            "nonce": request["nonce"],
        }
        return aiohttp_jinja2.render_template("app_index.html", request, context)

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """Run a console for as long as the page is open."""
        origin = urlsplit(request.headers.get("Origin", "")).netloc.lower()
        if origin != request.host.lower() and origin not in self._origins:
            raise web.HTTPForbidden(text="this console takes no connections from pages of other sites\n")
        if len(self._sessions) >= MAX_SESSIONS:
            raise web.HTTPServiceUnavailable(text=f"{MAX_SESSIONS} pages are open, which is the limit\n")
        websocket = web.WebSocketResponse(heartbeat=HEARTBEAT)
        await websocket.prepare(request)
        task = asyncio.current_task()
        assert task is not None
        self._sessions.add(task)
        try:
            await self._run_session(websocket, request)
        finally:
            self._sessions.discard(task)
        return websocket

    async def _run_session(self, websocket: web.WebSocketResponse, request: web.Request) -> None:
        session = ConsoleSession(
            self._words,
            self._environment,
            write_bytes=websocket.send_bytes,
            write_str=websocket.send_str,
            close=websocket.close,
            download_manager=self.download_manager,
        )
        try:
            await session.start(_cells(request, "width", 80), _cells(request, "height", 24))
            await self._process_messages(websocket, session)
        except (ValueError, TypeError, KeyError, IndexError, AssertionError):
            terminal.warn("a page sent what is not a message of this console; its session ends")
        finally:
            await session.stop()
            await websocket.close()

    def _is_ours(self, host: str) -> bool:
        """Return whether a request names this machine: by an address, or by a name that no other site has."""
        name = (urlsplit(f"//{host}").hostname or "").lower()
        return name in self._hosts or _is_address(name)


async def serve(server: ConsoleServer, address: Address, introduce: Callable[[], None]) -> None:
    """Serve until cancelled; `introduce` is called once the port is open.

    Raises:
        UsageError: the address cannot be listened on.
    """
    # not `Server.serve()`: it takes the signals, and waits a minute for pages that are open
    runner = web.AppRunner(await server.application(), access_log=None, shutdown_timeout=GRACE)
    await runner.setup()
    try:
        await _listen(runner, address)
        introduce()
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, address: Address) -> None:
    try:
        await web.TCPSite(runner, address.host, address.port).start()
    except OSError as error:
        raise UsageError(
            f"{address} cannot be listened on: {error.strerror or error}",
            hint="choose another one: --serve HOST:PORT",
        ) from None


def _security_headers(request: web.Request) -> dict[str, str]:
    here = f"'self' ws://{request.host} wss://{request.host}"
    policy = (
        "default-src 'none'; img-src data:; font-src 'self'; style-src 'self' 'unsafe-inline'; "
        f"script-src 'self' 'nonce-{request['nonce']}'; connect-src {here}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Cache-Control": "no-cache",
    }


def _cells(request: web.Request, name: str, default: int) -> int:
    return max(1, min(MAX_CELLS, to_int(request.query.get(name, ""), default)))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
