"""What a watch does each second besides claiming."""

import pytest

from craft_easy.core.events import EventBus
from craft_easy.core.events.engine.report import Notice, Working
from craft_easy.core.events.redispatch import redispatching
from craft_easy.core.events.store import EventStore
from craft_easy.core.events.store.worker_registry import WorkerRegistry
from tests.support.conditions import becomes


async def test_an_idle_worker_that_was_fenced_registers_again(bus: EventBus, real_store: EventStore) -> None:
    bus.configure_store(real_store)
    worker, registry = bus.publisher.record_owner().worker, WorkerRegistry(real_store)
    async with redispatching(bus):
        await becomes(lambda: worker.may_start)
        fenced = worker.owner
        assert await registry.fence((await registry.entries())[fenced])
        assert not await worker.confirm()
        await becomes(lambda: worker.may_start)
        entries = await registry.entries()
    assert worker.owner != fenced
    assert (entries[fenced].fenced, entries[worker.owner].fenced) == (True, False)


@pytest.mark.slow
async def test_a_watch_reports_for_how_long_the_log_has_answered(bus: EventBus, real_store: EventStore) -> None:
    bus.configure_store(real_store)
    noticed: list[Notice] = []
    async with redispatching(bus, observer=noticed.append):
        working = await becomes(lambda: [one for one in noticed if isinstance(one, Working)][2:])
    assert working[0].answered_since is not None
    assert working[0].answered_at is not None
    assert working[0].answered_at > working[0].answered_since + 0.5
