"""The question which delivery this is, for applications: who never imports it pays nothing for the answer.

Importing this module, as `from craft_easy.core.events import current_delivery` does, has every bus of the process open
a scope for each handler, so that a task that one handler left behind never sees the delivery of the next. Before, the
foreground handlers of an event that no store keeps share one, or have none.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias

from craft_easy.core.events.handlers import context, stack
from craft_easy.core.events.handlers.context import CurrentDelivery
from craft_easy.core.events.handlers.route import running

__all__ = ["current_delivery"]

context.is_asked = True

MaybeNone: TypeAlias = Any
"""None is possible, and nobody inside a handler should have to ask: typeshed's way for `re.match` and its like."""


class _PlainKeeper:
    """Gives a plain transaction to deliveries that no record is kept of."""

    def transaction(self, current: CurrentDelivery, client: Any) -> AbstractAsyncContextManager[Any]:
        from craft_easy.core.events.store.sessions import plain_transaction

        return plain_transaction(client)


context.plain_keeper = _PlainKeeper()


def current_delivery() -> CurrentDelivery | MaybeNone:
    """Return the delivery that this code runs in; None outside of any.

    Tasks and threads that a handler starts are in its delivery too, until it has ended: what it leaves behind is then
    outside, and gets None like everybody else.
    """
    return context.current_delivery() or _under_way()


def _under_way() -> CurrentDelivery | None:
    """Return a delivery that began before this module was imported."""
    known = stack.innermost()
    return None if known is None else CurrentDelivery(known["event"], running(known["route"], known["calls"]).id)
