"""What a handler can know about the delivery that it runs in."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

if TYPE_CHECKING:
    from craft_easy.core.events.handlers.registry import Handler
    from craft_easy.core.events.model.event import DomainEvent


class Numbering:
    """Numbers the equal events that one run of a delivery publishes, the first with 0."""

    __slots__ = ("_numbers",)

    def __init__(self) -> None:
        self._numbers: dict[bytes, dict[str, int]] = {}

    def number(self, event_id: str, content: bytes) -> int:
        """Return the number of an event; one that is published again, as after an error, keeps its own."""
        numbers = self._numbers.setdefault(content, {})
        return numbers.setdefault(event_id, len(numbers))


class TransactionProvider(Protocol):
    """Keeps a delivery's outcome in a record."""

    def transaction(self, current: CurrentDelivery, client: Any) -> AbstractAsyncContextManager[Any]: ...


plain_keeper: TransactionProvider | None = None
"""Serves deliveries that no record is kept of; see `current`."""


@dataclass(slots=True, eq=False)
class CurrentDelivery:
    """The delivery that runs: one event × one handler.

    Args:
        event: what the handler got.
        handler_id: the handler's id, as the record names it.
        attempt: the number of this run, the first is 1.
        is_replay: history is being run again; nothing of this changes the state of a record.
        replay_id: which replay it is.
        is_open: it has not ended yet.
        numbering: numbers what it publishes; made when it first does.
        keeper: what stores its outcome, where the log has a record of it.
    """

    event: DomainEvent
    handler_id: str
    attempt: int = 1
    is_replay: bool = False
    replay_id: str | None = None
    is_open: bool = True
    numbering: Numbering | None = None
    keeper: TransactionProvider | None = None

    def transaction(self, client: Any) -> AbstractAsyncContextManager[Any]:
        """Give a session whose transaction commits what the handler writes with it and this delivery's `done` together.

            async with current_delivery().transaction(client) as session:
                await client["shop"]["stock"].update_one(item, {"$inc": {"left": -1}}, session=session)

        `done` is written last, and only where the delivery is still pending; else nothing of the block is kept. So two
        workers that run the same delivery commit once. In a replay, and where no store keeps the delivery, it is a
        plain transaction.

        Args:
            client: the PyMongo or Motor client that the handler writes with, of the log's deployment.

        Raises:
            TransactionsMissing: the server has none; the block was not entered.
            WrongDeployment: the client is one of another deployment; the block was not entered.
            DeliveryOver: another worker has finished this delivery; nothing is kept.
            CommitUnknown: whether it was committed could not be learnt; the log knows, and says so to the next run.
        """
        keeper = self.keeper if self.keeper is not None else plain_keeper
        if keeper is None:
            raise RuntimeError("transactions need the store: from craft_easy.core.events import current_delivery")
        return keeper.transaction(self, client)

    @property
    def idempotency_key(self) -> str:
        """Return a text that is the same at every attempt of this delivery, and of no other."""
        return f"{self.event.event_id}:{self.handler_id}"


class Scope:
    """The span of one delivery, as its context knows it.

    It has no `__init__` and makes its `CurrentDelivery` when asked, because one is made for every event that is
    published. The event goes when it ends, so that a context that lives on keeps none alive.

    Attributes:
        event: None once the delivery has ended.
        view: the delivery as its handler sees it, if it has looked.
    """

    __slots__ = ("event", "handler", "view")
    event: DomainEvent | None
    handler: Handler
    view: CurrentDelivery | None

    def current(self) -> CurrentDelivery:
        """Return the delivery as its handler sees it."""
        if self.view is None:
            self.view = CurrentDelivery(cast("DomainEvent", self.event), self.handler.id)
        return self.view

    def end(self) -> None:
        """End the delivery, also for those who hold its `CurrentDelivery`."""
        self.event = None
        if self.view is not None:
            self.view.is_open = False
            self.view = None


_scope: Final[ContextVar[Scope | None]] = ContextVar("craft_easy.core.events.scope", default=None)
current_scope: Final = _scope.get
enter: Final = _scope.set
"""Make a scope the current one, or nothing with None."""


def open_scope() -> Scope | None:
    """Return the scope of the delivery that this code runs in, if it has not ended."""
    scope = _scope.get()
    return None if scope is None or scope.event is None else scope


def current_delivery() -> CurrentDelivery | None:
    """Return the delivery that this code runs in.

    Tasks and threads that a handler starts are in its delivery too, until it has ended: what it leaves behind is then
    outside, and gets None like everybody else.
    """
    scope = open_scope()
    return None if scope is None else scope.current()


is_asked = False
"""Whether the application uses `current_delivery`; see `current`."""


# Suppression: what is published while history runs again is counted, and neither stored nor dispatched.
# It holds for the whole process, whoever publishes: a handler, a task or a thread that it left, another bus. What runs
# in the context of such a handler stays suppressed after the block, too: a task that ends late publishes nothing then.

is_used = False
"""Whether anything was ever suppressed in this process: until then nobody pays for the question."""


class Suppression:
    """Counts the events that were published and suppressed; threads may publish, too."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.events = 0

    def add(self, events: int) -> None:
        """Count events."""
        with self._lock:
            self.events += events


_for_all: Suppression | None = None
_here: Final[ContextVar[Suppression | None]] = ContextVar("craft_easy.core.events.handlers.suppression", default=None)


@contextmanager
def suppressing() -> Iterator[Suppression]:
    """Suppress, in the whole process, what is published until the block ends; one inside another is the same one.

    `publish`, `publish_many`, `publish_from_thread`, a transaction of a bus, and `append` of a store return as if they
    had done it; `append` says that nothing is new. What is checked before stays checked.
    """
    global _for_all, is_used, is_asked
    is_used = is_asked = True  # every publish takes the long way from now on, on which it is asked
    outer = _for_all
    _for_all = suppression = outer or Suppression()
    token = _here.set(suppression)
    try:
        yield suppression
    finally:
        _here.reset(token)
        _for_all = outer


def suppresses(events: int = 1) -> bool:
    """Tell whether so many events that are being published are suppressed, and count them if they are."""
    suppression = _for_all or _here.get()
    if suppression is None:
        return False
    suppression.add(events)
    return True


def is_on() -> bool:
    """Tell whether what is published here and now is suppressed."""
    return (_for_all or _here.get()) is not None
