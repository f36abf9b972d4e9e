"""The cost of building an event compared with a bare Pydantic model with the same fields and the same two factories.

    python benchmarks/bench_events.py

Both are built alternately within one run, and medians are compared, so that other work on the machine affects both.
"""

from __future__ import annotations

import gc
import statistics
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from time import perf_counter
from typing import Any

from pydantic import BaseModel, Field

from craft_easy.core.events.clock import now
from craft_easy.core.events.model.event import new_event_id
from craft_easy.core.events.types import DomainEvent, PaymentCompleted

LIMIT = 2.0
ROUNDS = 31
BUILDS = 5_000


class BareEvent(BaseModel):
    event_id: str = Field(default_factory=new_event_id)
    event_type: str
    timestamp: datetime = Field(default_factory=now)
    tenant_id: str | None = None
    actor_id: str | None = None
    payload: dict[str, Any] = Field(default_factory=dict)


class BarePayment(BareEvent):
    event_type: str = "payment.completed"
    payment_id: str
    amount: float
    currency: str


def build_event(event_class: Any) -> Callable[[], object]:
    payload = {"resource": "docs", "item_id": "a"}
    return lambda: event_class(event_type="resource.deleted", tenant_id="tenant_123", payload=payload)


def build_payment(event_class: Any) -> Callable[[], object]:
    return lambda: event_class(payment_id="p-1", amount=12.5, currency="EUR", tenant_id="tenant_123", actor_id="u-7")


PAIRS = [
    ("DomainEvent", build_event(DomainEvent), build_event(BareEvent)),
    ("PaymentCompleted", build_payment(PaymentCompleted), build_payment(BarePayment)),
]


def alternate(functions: Sequence[Callable[[], object]]) -> list[float]:
    """Return the median cost in microseconds of each function; they run alternately."""
    costs: list[list[float]] = [[] for _ in functions]
    gc.disable()
    try:
        for _ in range(ROUNDS):
            for function, taken in zip(functions, costs, strict=True):
                started = perf_counter()
                for _ in range(BUILDS):
                    function()
                taken.append((perf_counter() - started) / BUILDS * 1e6)
    finally:
        gc.enable()
    return [statistics.median(taken) for taken in costs]


def main() -> int:
    """Print the table; return 1 if the limit is missed."""
    print(f"{'build an event':<20}{'µs':>8}{'bare µs':>10}{'ratio':>8}{'limit':>8}")
    missed = 0
    for name, build, build_bare in PAIRS:
        cost, bare = alternate([build, build_bare])
        print(f"{name:<20}{cost:>8.2f}{bare:>10.2f}{cost / bare:>8.2f}{LIMIT:>8.2f}")
        missed += cost / bare > LIMIT
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
