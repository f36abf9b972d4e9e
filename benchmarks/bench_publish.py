"""The cost of `publish` without a store, as ratios to a bare `await` that is measured in the same run.

    python benchmarks/bench_publish.py [--rounds N]

Each row alternates between its candidates in short rounds, so that other work on the machine affects both; a cell is
the median of the rounds' ratios. The floor is a coroutine that awaits the same handlers one after the other.

Peers, if installed (`pip install --group bench`): bubus, async-signals, pyee, ezpubsub, which isolate handlers from
each other and have to be slower; and aiosignal, which does not.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib.util
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from craft_easy.core.events import DomainEvent, EventBus

Run = Callable[[int], Awaitable[None]]
Handler = Callable[..., Awaitable[None]]

ENDINGS: list[Callable[[], Awaitable[None]]] = []
"""The clean-up of a peer before the event loop is closed."""

TYPE = "payment.completed"
LIMIT = 4.5
ISOLATING = ("bubus", "async-signals", "pyee", "ezpubsub")
PATIENCE_S = 60
"""Seconds after which a row is given up."""


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


def bus_with(*handlers: Handler) -> EventBus:
    bus = EventBus()
    for number, handler in enumerate(handlers):
        bus.subscribe(TYPE, handler, id=f"bench:{number}")
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


# Peers: each calls the same handlers, one after the other where it supports that


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
                handler.__name__ = f"handler_{number}"  # it warns about equal names
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

    signal: Any = Signal(None)  # type: ignore[arg-type]  # without an owner
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
    return [
        Row("1 handler", LIMIT, bare(*one), repeat(bus_with(*one).publish), 2_000),
        Row("10 handlers", LIMIT, bare(*ten), repeat(bus_with(*ten).publish), 300),
    ]


def peer_rows() -> list[Row]:
    found = []
    for name, (module, adapter, slower) in PEERS.items():
        if importlib.util.find_spec(module) is None:
            print(f"{name} is not installed: skipped", file=sys.stderr)
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
    """Return the median times of floor and candidate in microseconds, and the median of their ratio."""
    await timed(row.candidate, row.times)
    floors, candidates = [], []
    gc.collect()
    for _ in range(rounds):
        floors.append(await timed(row.floor, row.times))
        candidates.append(await timed(row.candidate, row.times))
    ratio = statistics.median(mine / floor for mine, floor in zip(candidates, floors, strict=True))
    return statistics.median(floors), statistics.median(candidates), ratio


async def report(rounds: int) -> bool:
    """Print the table; return whether each limit was met and each peer that isolates handlers is slower."""
    print(f"{'':<28}{'floor µs':>10}{'µs':>10}{'ratio':>9}{'limit':>8}")
    is_good = True
    ours: dict[str, float] = {}
    for row in [*rows(), *peer_rows()]:
        peer, _, handlers = row.name.rpartition(", ")
        turns = max(1, rounds // 10) if peer == "bubus" else rounds
        try:
            async with asyncio.timeout(PATIENCE_S):
                floor, candidate, ratio = await measure(row, turns)
        except TimeoutError:
            print(f"{row.name:<28}  did not end within {PATIENCE_S} s")
            continue
        if peer:
            is_kept = peer not in ISOLATING or candidate > ours[handlers]
        else:
            ours[handlers], is_kept = candidate, ratio <= LIMIT
        limit = "" if row.limit is None else f"{row.limit:.2f}"
        print(f"{row.name:<28}{floor:>10.3f}{candidate:>10.3f}{ratio:>9.2f}{limit:>8}{'' if is_kept else '  missed'}")
        is_good &= is_kept
    for end in ENDINGS:
        await end()
    return is_good


def main() -> int:
    """Print the table; return 1 if a limit is missed."""
    options = argparse.ArgumentParser(description="The cost of publish without a store.")
    options.add_argument("--rounds", type=int, default=151)
    return 0 if asyncio.run(report(options.parse_args().rounds)) else 1


if __name__ == "__main__":
    sys.exit(main())
