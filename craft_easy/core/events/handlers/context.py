"""The current delivery, and the suppression of events that are published during a replay.

Both are context variables, so that the tasks and threads which a handler starts see them too.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from craft_easy.core.events.errors import NoDelivery

if TYPE_CHECKING:
    from craft_easy.core.events.model.event import DomainEvent


class Numbering:
    """Numbers the equal events that one run of a delivery publishes, the first with 0."""

    __slots__ = ("_numbers",)

    def __init__(self) -> None:
        self._numbers: dict[bytes, dict[str, int]] = {}

    def number(self, event_id: str, content: bytes) -> int:
        """Return the number of an event; an event that is published again, as after an error, keeps its number."""
        numbers = self._numbers.setdefault(content, {})
        return numbers.setdefault(event_id, len(numbers))


class TransactionProvider(Protocol):
    """Opens the transactions of deliveries: the engine for those with a record, the bus for the others."""

    def transaction(self, current: CurrentDelivery, client: Any) -> AbstractAsyncContextManager[Any]: ...


@dataclass(eq=False)
class CurrentDelivery:
    """The delivery that runs: one event × one handler.

    Args:
        event: the event that the handler got.
        handler_id: the handler's id, as the record names it.
        attempt: the number of this run, the first is 1.
        transactions: opens its transactions.
        replay_id: the replay that runs it; None outside of a replay.
        is_open: the run has not ended yet.
        numbering: numbers the events that it publishes; made when it first does.
    """

    event: DomainEvent
    handler_id: str
    attempt: int = 1
    transactions: TransactionProvider | None = None
    replay_id: str | None = None
    is_open: bool = True
    numbering: Numbering | None = None

    @property
    def is_replay(self) -> bool:
        """True if a replay runs this delivery, which then changes the state of no record."""
        return self.replay_id is not None

    @property
    def idempotency_key(self) -> str:
        """A text that is the same at every attempt of this delivery, and of no other."""
        return f"{self.event.event_id}:{self.handler_id}"

    def transaction(self, client: Any) -> AbstractAsyncContextManager[Any]:
        """Give a session whose transaction commits the handler's own writes together with this delivery's `done`.

            async with current_delivery().transaction(client) as session:
                await client["shop"]["stock"].update_one(item, {"$inc": {"left": -1}}, session=session)

        `done` is written last, and only where the delivery is still pending; otherwise the transaction is rolled back.
        So of two workers that run the same delivery only one commits. In a replay, and without a store, it is a plain
        transaction.

        Args:
            client: the PyMongo or Motor client that the handler writes with, of the log's deployment.

        Raises:
            TransactionsMissing: the server does not support transactions; the block was not entered.
            WrongDeployment: the client belongs to another deployment; the block was not entered.
            DeliveryOver: another worker has finished this delivery; the transaction is rolled back.
            CommitUnknown: the reply to the commit was lost; the next run reads from the log whether it took effect.
        """
        if self.transactions is None:
            raise RuntimeError(f"delivery {self.idempotency_key} has no provider of transactions")
        return self.transactions.transaction(self, client)


_current: Final[ContextVar[CurrentDelivery | None]] = ContextVar("craft_easy.core.events.delivery", default=None)
enter: Final = _current.set
"""Make a delivery the current one; returns the token for `leave`."""
leave: Final = _current.reset
"""Return to the outer delivery. Set `is_open` to False first: tasks and threads that run on are then in none."""


def open_delivery() -> CurrentDelivery | None:
    """Return the delivery that this code runs in; None outside of any delivery, and once it has ended."""
    current = _current.get()
    return current if current is not None and current.is_open else None


def current_delivery() -> CurrentDelivery:
    """Return the delivery that this code runs in.

    Tasks and threads that a handler starts are in its delivery until that ends.

    Raises:
        NoDelivery: this code runs outside of any delivery.
    """
    current = open_delivery()
    if current is None:
        raise NoDelivery
    return current


class Suppression:
    """Counts the events that were published and suppressed; threads may publish, too."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.events = 0

    def add(self, events: int) -> None:
        """Count events."""
        with self._lock:
            self.events += events


suppressed_everywhere: Suppression | None = None
"""Counts the events that are suppressed in the whole process; None while none are."""
_suppression: Final[ContextVar[Suppression | None]] = ContextVar("craft_easy.core.events.suppression", default=None)
suppressed_here: Final = _suppression.get
"""Return the counter of the events that are suppressed in this context, or None."""


@contextmanager
def suppressing() -> Iterator[Suppression]:
    """Suppress, in the whole process, every event published until the block ends; nested blocks share one counter.

    `publish`, `publish_many`, `publish_from_thread`, a transaction of a bus, and `append` of a store check their
    arguments and return as if the event had been published; `append` returns that nothing is new. Code in the context
    of a handler stays suppressed after the block, too: a task that ends late publishes nothing.
    """
    global suppressed_everywhere
    outer = suppressed_everywhere
    suppressed_everywhere = suppression = outer or Suppression()
    token = _suppression.set(suppression)
    try:
        yield suppression
    finally:
        _suppression.reset(token)
        suppressed_everywhere = outer


def suppresses(events: int = 1) -> bool:
    """Return whether events that are published here are suppressed, and count these `events` if so."""
    counter = suppressed_everywhere or suppressed_here()
    if counter is None:
        return False
    counter.add(events)
    return True
