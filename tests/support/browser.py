"""A real Chromium without a window, driven by its DevTools protocol: https://chromedevtools.github.io/devtools-protocol/.

aiohttp comes with textual-serve, so that no driver is needed, of which the common ones have 20 to 165 MB.
"""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pyte

from tests.support.conditions import until

NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--no-proxy-server",
    "--remote-debugging-port=0",
)
TIMEOUT: Final = 60.0
KEYS: Final = {"Enter": (13, "\r"), "Escape": (27, ""), "Tab": (9, ""), "ArrowDown": (40, ""), "ArrowUp": (38, "")}


def chromium() -> str | None:
    """Return the program; None where this machine has none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Page:
    """A page: what it asked for, and the terminal in it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.asked: list[str] = []
        """Every address that the page asked for."""
        self.faults: list[str] = []
        """Errors of its scripts, and requests that its policy refused."""
        self.screen = pyte.Screen(80, 24)
        self._terminal = pyte.ByteStream(self.screen)
        self._socket = socket
        self._replies: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._number = 0
        self._changed = asyncio.Event()

    async def listen(self) -> None:
        """Take what the browser reports, until the page is closed."""
        async for message in self._socket:
            told = json.loads(message.data)
            if (reply := self._replies.pop(told.get("id", 0), None)) is not None:
                reply.set_result(told)
            else:
                self._note(told.get("method", ""), told.get("params", {}))
                self._changed.set()

    def _note(self, method: str, params: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.asked.append(params["request"]["url"])
        elif method == "Network.webSocketCreated":
            self._open_terminal(params["url"])
        elif method == "Network.webSocketFrameReceived" and params["response"]["opcode"] == 2:
            self._terminal.feed(base64.b64decode(params["response"]["payloadData"]))
        elif method == "Runtime.exceptionThrown":
            self.faults.append(str(params["exceptionDetails"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.faults.append(params["entry"]["text"])

    def _open_terminal(self, url: str) -> None:
        self.asked.append(url)
        size = parse_qs(urlsplit(url).query)
        self.screen.resize(int(size["height"][0]), int(size["width"][0]))

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        self._number += 1
        reply = self._replies[self._number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": self._number, "method": method, "params": params})
        told = await asyncio.wait_for(reply, TIMEOUT)
        assert "error" not in told, told["error"]
        result: dict[str, Any] = told["result"]
        return result

    async def open(self, url: str) -> None:
        """Open an address."""
        for domain in ("Page", "Network", "Runtime", "Log"):
            await self.call(f"{domain}.enable")
        await self.call("Page.navigate", url=url)

    async def evaluate(self, script: str) -> Any:
        """Return the value of an expression in the page; a promise is awaited."""
        found = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        return found["result"].get("value")

    async def press(self, *keys: str) -> None:
        """Press keys: characters, or names such as `Enter`."""
        for key in keys:
            code, text = KEYS.get(key, (ord(key.upper()[0]), key))
            await self.call("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, text=text)
            await self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    async def picture(self) -> bytes:
        """Return what is seen, as PNG."""
        return base64.b64decode((await self.call("Page.captureScreenshot"))["data"])

    def text(self) -> str:
        """Return the text of the terminal."""
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    async def shows(self, condition: str | Callable[[str], bool]) -> str:
        """Wait until the terminal has a text, or meets a condition; return it."""
        wanted = (lambda text: condition in text) if isinstance(condition, str) else condition
        try:
            async with asyncio.timeout(TIMEOUT):
                while not wanted(self.text()):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"not shown: {condition}; the terminal:\n{self.text()}\n{self.faults}") from None
        return self.text()


@asynccontextmanager
async def browsing(folder: Path, *, width: int = 1_280, height: int = 800) -> AsyncIterator[Page]:
    """Run a browser with one page; `folder` is for its profile."""
    program = chromium()
    assert program is not None, "no Chromium"
    process = await asyncio.create_subprocess_exec(
        program,
        *FLAGS,
        f"--user-data-dir={folder}",
        f"--window-size={width},{height}",
        "about:blank",
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with aiohttp.ClientSession() as session, session.ws_connect(await _page_of(folder, session)) as socket:
            page = Page(socket)
            listening = asyncio.create_task(page.listen())
            try:
                yield page
            finally:
                listening.cancel()
                with suppress(asyncio.CancelledError):
                    await listening
    finally:
        process.kill()
        await process.wait()


async def _page_of(folder: Path, session: aiohttp.ClientSession) -> str:
    """Return the address of the page's DevTools, once the browser has written its port."""
    file = folder / "DevToolsActivePort"
    await asyncio.to_thread(until, lambda: file.is_file() and file.read_text().count("\n") > 0, seconds=TIMEOUT)
    port = file.read_text().splitlines()[0]
    async with session.get(f"http://127.0.0.1:{port}/json/list") as reply:
        targets = await reply.json()
    return next(str(one["webSocketDebuggerUrl"]) for one in targets if one["type"] == "page")
