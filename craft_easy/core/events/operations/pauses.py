"""Pausing handlers: while what a handler calls is down, its deliveries wait and use up no attempt.

    from craft_easy.core.events.operations import pauses

    await pauses.pause(store, "shop.mail:send", by="anna@db-1", reason="the mail server is down")
    for paused in await pauses.paused_handlers(store):
        print(paused.handler, paused.pause.until, paused.waiting)
    await pauses.resume(store, "shop.mail:send")

A pause is stored in the log's database, and every publisher and redispatch learns of it with its next heartbeat. What
is running ends as usual. `until` is judged by the database's time.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING

from craft_easy.core.events.errors import HandlerNotInLog, InvalidSetting
from craft_easy.core.events.model.pause import Pause, PausedHandler
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.operations.handlers import require_in_log
from craft_easy.core.events.store.counts import count_pending
from craft_easy.core.events.store.filters import can_be_stored
from craft_easy.core.events.store.pauses import HandlerPauses

if TYPE_CHECKING:
    from craft_easy.core.events.store import EventStore

__all__ = ["Pause", "PauseChange", "PausedHandler", "pause", "paused_handlers", "require_known", "resume", "waiting"]


@dataclass(frozen=True, slots=True)
class PauseChange:
    """The effect of `pause`.

    Args:
        pause: as it is stored now.
        former: the pause that it replaces; None if the handler was not paused.
        waiting: the open deliveries of the handler, up to 10,001.
    """

    pause: Pause
    former: Pause | None
    waiting: int


async def paused_handlers(store: EventStore) -> list[PausedHandler]:
    """Return the handlers that are paused now, by id, each with the number of open deliveries that wait for it.

    Raises:
        StoreUnavailable: the log was not reached.
    """
    pauses = await HandlerPauses(store).current()
    return [PausedHandler(pause, await waiting(store, pause.handler)) for pause in pauses]


async def waiting(store: EventStore, handler_id: str) -> int:
    """Return the number of open deliveries of a handler, up to 10,001, which stands for any larger number too.

    Raises:
        StoreUnavailable: the log was not reached.
    """
    return await count_pending(store, Selection(), [handler_id])


async def require_known(store: EventStore, handler_id: str, *, loaded: Collection[str] = ()) -> None:
    """Check that a handler is paused or loaded, or that records of the log name it.

    Args:
        store: the event log.
        handler_id: the id of the handler, or an alias.
        loaded: the ids and aliases of the loaded handlers.

    Raises:
        HandlerNotInLog: none of these; it has the most similar ids.
    """
    known = {one.handler for one in await HandlerPauses(store).read()} | set(loaded)
    if handler_id in known:
        return
    try:
        await require_in_log(store, [handler_id])
    except HandlerNotInLog as error:
        similar = get_close_matches(handler_id, sorted(known), 3) or error.similar
        raise HandlerNotInLog(handler_id, similar) from None


async def pause(
    store: EventStore, handler_id: str, *, by: str, until: datetime | None = None, reason: str | None = None
) -> PauseChange:
    """Pause a handler; one that is paused already keeps the time since when, and gets the new end and reason.

    Args:
        store: the event log.
        handler_id: the id of the handler in the log, or an alias. Whether it exists is not checked.
        by: who pauses it, `user@host`.
        until: an aware time after the database's now, at which the pause ends by itself.
        reason: for those who see the pause.

    Raises:
        InvalidSetting: `until` is not in the future, or a text cannot be stored.
        StoreUnavailable: the log was not reached: the handler may be paused or not.
    """
    for name, text in (("handler_id", handler_id), ("by", by), ("reason", reason)):
        if text is not None and not can_be_stored(text):
            raise InvalidSetting(name, "is not UTF-8")
    if not handler_id:
        raise InvalidSetting("handler_id", "is empty")
    now = await store.now()
    if until is not None and until <= now:
        raise InvalidSetting("until", f"{until.isoformat()} is not in the future")
    pauses = HandlerPauses(store)
    former = next((one for one in await pauses.read() if one.handler == handler_id and one.holds(now)), None)
    since = now if former is None or former.paused_at is None else former.paused_at
    stored = Pause(handler_id, since, by, until, reason)
    await pauses.put(stored)
    await pauses.forget(at=now)
    return PauseChange(stored, former, await waiting(store, handler_id))


async def resume(store: EventStore, handler_id: str) -> Pause | None:
    """End the pause of a handler; return it, or None if the handler was not paused.

    Workers learn of it with their next heartbeat; what waits is delivered by the next redispatch.

    Raises:
        StoreUnavailable: the log was not reached: the handler may be paused or not.
    """
    now = await store.now()
    former = await HandlerPauses(store).remove(handler_id)
    return former if former is not None and former.holds(now) else None
