"""`craft-events top --serve` in a real Chromium, and against requests that a browser of ours would not send."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.support import browser
from tests.support.conditions import until
from tests.support.dead_letters import CHARGE, GRAVEYARD, HAUNTED, states
from tests.support.history import Log, opened
from tests.support.processes import Run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser.chromium() is None, reason="needs Chromium"),
]
PNG: Final = b"\x89PNG"


@pytest.fixture
def log(embedded_uri: str, database_name: str) -> Iterator[Log]:
    with opened(embedded_uri, database_name) as log:
        log.insert(*GRAVEYARD, HAUNTED)
        yield log


class Served:
    """A run of the server."""

    def __init__(self, log: Log, *options: str) -> None:
        self.run = Run(
            "top", "--serve", f"127.0.0.1:{free_port()}", *options, "--uri", log.uri, "--database", log.database
        )
        self.url = self.run.out.next()


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[browser.Page]:
    async with browser.browsing(tmp_path / "profile") as page:
        yield page


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    found = (Path(f"/proc/{pid}/task/{pid}/children")).read_text().split()
    return [int(one) for one in found]


def words_of(pid: int) -> list[bytes]:
    """Return what a list of processes shows of one."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def test_the_console_is_seen_looks_only_asks_nothing_outside_and_ends_with_the_server(
    log: Log, page: browser.Page
) -> None:
    served = Served(log)
    with served.run as run:
        await page.open(served.url)
        await page.shows("1 Overview")
        await page.press("4")
        text = await page.shows(lambda text: "dead deliveries, by error" in text and CHARGE in text)
        assert "Retry" not in text
        assert all(line.isprintable() for line in text.splitlines())
        await page.press("r", "d", "R", "b")
        await page.shows("dead deliveries, by handler")
        assert "No (n)" not in page.text()
        assert (await page.picture()).startswith(PNG)
        assert {urlsplit(one).hostname for one in page.asked} == {"127.0.0.1"}
        assert page.faults == []
        [child] = children(run.process.pid)
        words = words_of(child)
        assert b"--read-only" in words
        assert log.uri.encode() not in words, "an address may have a password"
        run.process.send_signal(signal.SIGTERM)
        assert run.ended() == 143
        assert is_gone(child)
        assert any("there is no login" in line for line in run.err.rest())
    assert states(log, 1) == ["done", "dead"]


async def test_a_console_that_may_act_acts(log: Log, page: browser.Page) -> None:
    served = Served(log, "--allow-actions")
    with served.run as run:
        await page.open(served.url)
        await page.shows("1 Overview")
        await page.press("4")
        await page.shows(lambda text: "dead deliveries, by error" in text and CHARGE in text)
        await page.press("r")
        await page.shows("2 deliveries of 2 events get a fresh budget")
        await page.press("y")
        await page.shows("have a fresh budget")
        assert states(log, 1) == ["done", "pending"]
        run.process.send_signal(signal.SIGINT)
        assert run.ended() == 130


async def test_the_consoles_end_with_a_server_that_is_killed_and_with_their_pages(log: Log, page: browser.Page) -> None:
    served = Served(log)
    with served.run as run:
        for _ in range(2):
            await page.open(served.url)
            await page.shows("1 Overview")
            page.screen.reset()
        until(lambda: len([one for one in children(run.process.pid) if not is_gone(one)]) == 1)
        [child] = [one for one in children(run.process.pid) if not is_gone(one)]
        run.process.kill()
        until(lambda: is_gone(child), seconds=30)


async def test_other_sites_are_refused(log: Log) -> None:
    served = Served(log)
    with served.run:
        async with aiohttp.ClientSession() as session:
            async with session.get(served.url) as reply:
                assert reply.status == 200
                assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
                assert "://" not in await reply.text()
            async with session.get(served.url, headers={"Host": "evil.example"}) as reply:
                assert reply.status == 403
            for origin in ("http://evil.example", "null", ""):
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    await session.ws_connect(f"{served.url}ws", headers={"Origin": origin})
                assert refused.value.status == 403


async def test_a_proxys_address_is_accepted_when_it_was_named(log: Log) -> None:
    served = Served(log, "--public-url", "https://ops.example/events/")
    with served.run:
        async with aiohttp.ClientSession() as session:
            headers = {"Host": "ops.example", "Origin": "https://ops.example"}
            async with session.ws_connect(f"{served.url}ws", headers=headers) as socket:
                assert (await socket.receive()).type is aiohttp.WSMsgType.BINARY
                await socket.send_str('{"not": "a message"}')
                while (message := await socket.receive()).type is aiohttp.WSMsgType.BINARY:
                    pass
                assert message.type is aiohttp.WSMsgType.CLOSE


def test_a_port_in_use_is_a_clear_error(log: Log) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with Run("top", "--serve", str(port), "--uri", log.uri, "--database", log.database) as run:
            assert run.ended() == 2
            lines = run.err.rest()
    assert lines[0].startswith(f"error: 127.0.0.1:{port} cannot be listened on")
    assert lines[1] == "choose another one: --serve HOST:PORT"


def test_it_needs_a_log(log: Log) -> None:
    with Run("top", "--serve", str(free_port()), "--uri", log.uri, "--database", "no_such") as run:
        assert run.ended() == 3
    assert os.environ.get("CRAFT_EVENTS_URI") is None
