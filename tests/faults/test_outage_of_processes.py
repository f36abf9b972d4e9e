"""Publishers and watches in processes of their own, while their server is away for three leases."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from craft_easy.core.events.clock import steady
from tests.faults.site import MODULE, Process, Site, ended
from tests.support.conditions import until
from tests.support.server import Server

LEASE: Final = 3
DEADLINE: Final = 1.5
SLACK_S: Final = 6.0
"""The tolerance for a deadline on a busy machine."""

PUBLISHER: Final = f"""
import asyncio, os
from craft_easy.core.events import DomainEvent, get_event_bus
from craft_easy.core.events.clock import steady
from craft_easy.core.events.errors import StoreUnavailable
from craft_easy.core.events.store import EventStore
import {MODULE} as workshop

async def main():
    async with EventStore(timeout={DEADLINE}) as store, get_event_bus() as bus:
        bus.configure_store(store, lease={LEASE})
        while not os.path.exists(os.environ[workshop.GO]):
            event, began = DomainEvent(event_type="plain.made"), steady()
            try:
                await bus.publish(event)
                word = "stored"
            except StoreUnavailable:
                word = "refused"
            print(word, event.event_id, steady() - began, flush=True)
            await asyncio.sleep(0.1)

asyncio.run(main())
"""


@pytest.fixture
def own_site(server: Server, database_name: str, tmp_path: Path) -> Iterator[Site]:
    """A log on a server of its own, for processes."""
    with Site(server.uri, database_name, tmp_path) as site:
        yield site


@pytest.mark.parametrize(
    ("away", "back"), [(Server.kill, Server.start), (Server.freeze, Server.thaw)], ids=["killed", "frozen"]
)
def test_an_outage_of_three_leases_loses_nothing_and_ends_no_process(
    server: Server, own_site: Site, away: Callable[[Server], None], back: Callable[[Server], None]
) -> None:
    publishers = [own_site.python("-c", PUBLISHER) for _ in range(4)]
    watches = [own_site.redispatch("--watch", lease=LEASE) for _ in range(2)]
    until(lambda: len(own_site.workers()) == 6, seconds=60)
    own_site.until_in_ledger("ran", 60)
    away(server)
    gone_at = steady()
    until(lambda: steady() > gone_at + 3 * LEASE, seconds=60)
    back(server)
    for watch, other in (watches, watches[::-1]):
        _delivers(own_site, watch, other)
    assert [process.poll() for process in publishers + watches] == [None] * 6
    own_site.go.touch()
    calls = [line.split() for process in publishers for line in _output(process).splitlines()]
    until(lambda: all(record["delivery"]["state"] == "done" for record in own_site.records()), seconds=60)
    for watch in watches:
        watch.terminate()
        assert ended(watch)[0] == 128 + signal.SIGTERM
    assert max(float(took) for _, _, took in calls) < DEADLINE + SLACK_S
    stored, ran = {event_id for word, event_id, _ in calls if word == "stored"}, own_site.ran()
    assert stored <= {record["event_id"] for record in own_site.records()}
    handlers = ("stow", "label", "announce")
    assert [(event_id, name) for event_id in stored for name in handlers if not ran[event_id, name]] == []


def _delivers(site: Site, watch: Process, other: Process) -> None:
    """Check that a watch delivers new events, while the other one is stopped."""
    other.send_signal(signal.SIGSTOP)
    events = site.fill("plain.made", 3)
    until(lambda: all(site.delivery(event)["state"] == "done" for event in events), seconds=60)
    other.send_signal(signal.SIGCONT)
    assert watch.poll() is None


def _output(publisher: Process) -> str:
    """Wait for a publisher to end, and return its output; its last event was stored, long after the outage."""
    code, out, err = ended(publisher)
    assert code == 0, err
    assert out.splitlines()[-1].startswith("stored")
    return out
