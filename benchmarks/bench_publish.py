"""What `publish` costs without a store, as ratios to a floor that is measured in the same run.

    python benchmarks/bench_publish.py [--rounds N] [--million]

Each row alternates between its candidates in short rounds, so that other work on the machine meets both; a cell is the
median of the rounds' ratios. The floors:

    n foreground handlers   the same handlers awaited one after the other inside a coroutine that is awaited
    wildcard                the same handler under its exact type
    1 background handler    `create_task`, a set that holds the task, a callback that discards it; then all are awaited

On a bus that has a background handler, of whatever type, each publish sets a context variable: those rows are "beside a
background one".

Beside them, where they are installed (`pip install --group bench`): bubus, async-signals, pyee, aiosignal, ezpubsub.
`--million` publishes a million events of each kind and tells by how much the memory grew.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib.util
import statistics
import sys
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from craft_easy.core.events import DomainEvent, EventBus

Run = Callable[[int], Awaitable[None]]
Handler = Callable[..., Awaitable[None]]

ENDINGS: list[Callable[[], Awaitable[None]]] = []
"""What a peer needs so that the event loop can be closed."""

TYPE = "payment.completed"
PATIENCE_S = 60
"""A row that takes longer is given up."""


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    limit: float | None
    floor: Run
    candidate: Run
    times: int


def nothing() -> Handler:
    async def handler(event: object) -> None:
        pass

    return handler


def something() -> Handler:
    seen: list[object] = []

    async def handler(event: object) -> None:
        seen.append(event)
        seen.clear()

    return handler


def bus_with(
    *handlers: Handler, pattern: str = TYPE, background: bool = False, beside: Handler | None = None
) -> EventBus:
    """Return a bus with these handlers, and with a background one of another type where `beside` is given."""
    bus = EventBus()
    if beside is not None:
        bus.subscribe("user.registered", beside, id="bench:beside", background=True)
    for number, handler in enumerate(handlers):
        bus.subscribe(pattern, handler, id=f"bench:{number}", background=background)
    return bus


def new_event() -> DomainEvent:
    return DomainEvent(event_type=TYPE, tenant_id="tenant_123", payload={"payment_id": "p_1", "amount": 12.5})


def repeat(publish: Callable[[DomainEvent], Awaitable[None]]) -> Run:
    async def run(times: int) -> None:
        event = new_event()
        for _ in range(times):
            await publish(event)

    return run


# Floors


def bare(*handlers: Handler) -> Run:
    if len(handlers) == 1:
        (handler,) = handlers

        async def publish(event: DomainEvent) -> None:
            await handler(event)

    else:

        async def publish(event: DomainEvent) -> None:
            for handler in handlers:
                await handler(event)

    return repeat(publish)


def tasks_by_hand(handler: Handler) -> Run:
    async def run(times: int) -> None:
        event, tasks = new_event(), set()
        for _ in range(times):
            task = asyncio.get_running_loop().create_task(handler(event))  # type: ignore[arg-type]  # an async def's
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        while tasks:
            await asyncio.wait(tasks)

    return run


def in_background(bus: EventBus) -> Run:
    async def run(times: int) -> None:
        event = new_event()
        for _ in range(times):
            await bus.publish(event)
        await bus.drain()

    return run


# Peers: each calls the same handlers, one after the other where it can


def with_bubus(*handlers: Handler) -> Run:
    import logging

    from bubus import BaseEvent
    from bubus import EventBus as Bubus

    logging.getLogger("bubus").setLevel(logging.ERROR)

    class PaymentCompleted(BaseEvent[None]):
        payment_id: str = "p_1"

    bus: list[Any] = []

    async def stop() -> None:
        await bus[0].stop(timeout=0, clear=True)

    async def run(times: int) -> None:
        if not bus:
            bus.append(Bubus(max_history_size=50))
            ENDINGS.append(stop)
            for number, handler in enumerate(handlers):
                handler.__name__ = f"handler_{number}"  # it warns of two by one name
                bus[0].on(PaymentCompleted, handler)
        for _ in range(times):
            await bus[0].dispatch(PaymentCompleted())

    return run


def with_async_signals(*handlers: Handler) -> Run:
    from async_signals import Signal

    signal = Signal()
    for handler in handlers:
        signal.connect(takes_keywords(handler), weak=False)

    async def publish(event: DomainEvent) -> None:
        await signal.send(TYPE, event=event)

    return repeat(publish)


def takes_keywords(handler: Handler) -> Handler:
    async def receiver(sender: object, **kwargs: object) -> None:
        await handler(kwargs["event"])

    return receiver


def with_pyee(*handlers: Handler) -> Run:
    from pyee.asyncio import AsyncIOEventEmitter

    emitter = AsyncIOEventEmitter()
    for handler in handlers:
        emitter.add_listener(TYPE, handler)

    async def publish(event: DomainEvent) -> None:
        emitter.emit(TYPE, event)
        await emitter.wait_for_complete()

    return repeat(publish)


def with_aiosignal(*handlers: Handler) -> Run:
    from aiosignal import Signal

    signal: Any = Signal(None)  # type: ignore[arg-type]  # it has no owner
    signal.extend(handlers)
    signal.freeze()
    return repeat(signal.send)


def with_ezpubsub(*handlers: Handler) -> Run:
    from ezpubsub import Signal

    signal: Any = Signal("payments")
    for handler in handlers:
        signal.subscribe(handler)
    return repeat(signal.apublish)


PEERS: dict[str, tuple[str, Callable[..., Run], int]] = {
    "aiosignal": ("aiosignal", with_aiosignal, 1),
    "async-signals": ("async_signals", with_async_signals, 20),
    "ezpubsub": ("ezpubsub", with_ezpubsub, 20),
    "pyee": ("pyee", with_pyee, 20),
    "bubus": ("bubus", with_bubus, 1_000),
}


# Measure


def rows() -> list[Row]:
    one, ten = (nothing(),), tuple(nothing() for _ in range(10))
    busy, ten_busy = (something(),), tuple(something() for _ in range(10))
    exact = repeat(bus_with(*one).publish)
    return [
        Row("1 foreground handler", 2.0, bare(*one), exact, 2_000),
        Row("10 foreground handlers", 1.25, bare(*ten), repeat(bus_with(*ten).publish), 300),
        Row("wildcard beside exact", 1.1, exact, repeat(bus_with(*one, pattern="payment.*").publish), 2_000),
        Row("1 background handler", 1.3, tasks_by_hand(*one), in_background(bus_with(*one, background=True)), 200),
        Row("1 that calls something", 2.0, bare(*busy), repeat(bus_with(*busy).publish), 2_000),
        Row("10 that call something", 1.25, bare(*ten_busy), repeat(bus_with(*ten_busy).publish), 300),
        Row("1 beside a background one", None, bare(*one), repeat(bus_with(*one, beside=nothing()).publish), 2_000),
        Row("10 beside a background one", None, bare(*ten), repeat(bus_with(*ten, beside=nothing()).publish), 300),
    ]


def peer_rows() -> list[Row]:
    found = []
    for name, (module, adapter, slower) in PEERS.items():
        if importlib.util.find_spec(module) is None:
            print(f"{name} is not installed: left out", file=sys.stderr)
            continue
        for count in (1, 10):
            handlers = tuple(nothing() for _ in range(count))
            title = f"{name}, {count} handler{'s' * (count > 1)}"
            found.append(Row(title, None, bare(*handlers), adapter(*handlers), max(2, 2_000 // count // slower)))
    return found


async def timed(run: Run, times: int) -> float:
    began = time.perf_counter()
    await run(times)
    return (time.perf_counter() - began) / times * 1e6


async def measure(row: Row, rounds: int) -> tuple[float, float, float]:
    """Return the medians of floor and candidate in microseconds, and that of their ratio."""
    await timed(row.candidate, row.times)
    floors, candidates = [], []
    gc.collect()
    for _ in range(rounds):
        floors.append(await timed(row.floor, row.times))
        candidates.append(await timed(row.candidate, row.times))
    ratio = statistics.median(mine / floor for mine, floor in zip(candidates, floors, strict=True))
    return statistics.median(floors), statistics.median(candidates), ratio


async def report(rounds: int) -> None:
    print(f"{'':<28}{'floor µs':>10}{'µs':>10}{'ratio':>9}{'limit':>8}")
    for row in [*rows(), *peer_rows()]:
        turns = max(1, rounds // 10) if row.name.startswith("bubus") else rounds
        try:
            async with asyncio.timeout(PATIENCE_S):
                floor, candidate, ratio = await measure(row, turns)
        except TimeoutError:
            print(f"{row.name:<28}  did not end within {PATIENCE_S} s")
            continue
        limit = "" if row.limit is None else f"{row.limit:.2f}"
        missed = "  missed" if row.limit is not None and ratio > row.limit else ""
        print(f"{row.name:<28}{floor:>10.3f}{candidate:>10.3f}{ratio:>9.2f}{limit:>8}{missed}")
    for end in ENDINGS:
        await end()


async def report_growth(times: int) -> None:
    """Publish events of a type of their own each, so that whatever is kept for a type would show."""
    bus = bus_with(something(), pattern="*")
    bus.subscribe("*", something(), id="bench:background", background=True)

    async def publish(first: int, last: int) -> None:
        for number in range(first, last):
            await bus.publish(DomainEvent(event_type=f"payment.{number}"))
            if number % 1_000 == 0:
                await bus.drain()
        await bus.drain()

    await publish(0, 10_000)
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    await publish(10_000, 10_000 + times)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    print(f"{times:,} publishes: {(after - before) / 2**20:+.3f} MiB, {len(asyncio.all_tasks()) - 1} tasks left")


def main() -> None:
    options = argparse.ArgumentParser(description="The cost of publish without a store.")
    options.add_argument("--rounds", type=int, default=151)
    options.add_argument("--million", action="store_true")
    chosen = options.parse_args()
    asyncio.run(report_growth(1_000_000) if chosen.million else report(chosen.rounds))


if __name__ == "__main__":
    main()
