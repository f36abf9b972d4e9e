"""From settings to an open event log, and errors with the origin of the address."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING

from craft_events_cli import terminal
from craft_events_cli.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from craft_easy.core.events.settings import Settings
    from craft_easy.core.events.store import EventStore


def current_directory() -> Path:
    """Return where the search for `pyproject.toml` begins.

    Raises:
        UsageError: it was removed.
    """
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise UsageError("the current directory does not exist any more", hint="cd to one that does") from None


class IfMissing(Enum):
    """How a command treats a log that does not exist."""

    REFUSE = auto()
    """Fail: a typo in a name is not all clear."""
    WAIT = auto()
    """Report it and wait until the log exists, and its server answers."""
    FOLLOW = auto()
    """Report it and follow the collection that may come; wait for the directory of an embedded log."""
    BEGIN = auto()
    """Begin the log."""


@asynccontextmanager
async def opened(settings: Settings, *, if_missing: IfMissing = IfMissing.REFUSE) -> AsyncIterator[EventStore]:
    """Open the event log that the settings name and close it at the end.

    An error of the connection names the origin of the address.

    Raises:
        LogNotFound: the log does not exist, and the command refuses that.
    """
    from craft_easy.core.events.errors import StoreLoginRefused, StoreUnavailable
    from craft_easy.core.events.store import EventStore

    store = EventStore(settings.database.value, uri=settings.uri.value, collection=settings.collection.value)
    try:
        await _meet(store, if_missing)
        yield store
    except StoreUnavailable as error:
        error.hint = f"is the address right, and does the server run? {_came_from(settings)}"
        raise
    except StoreLoginRefused as error:
        error.hint = f"is the login right, its authSource and its rights? {_came_from(settings)}"
        raise
    finally:
        await store.aclose()


async def _meet(store: EventStore, if_missing: IfMissing) -> None:
    """Refuse, await, report or ignore a log that does not exist."""
    from craft_easy.core.events.errors import EventsError
    from craft_easy.core.events.store import existence

    def note(error: EventsError) -> None:
        terminal.note(f"{error}: waiting for it, Ctrl-C ends")

    match if_missing:
        case IfMissing.REFUSE:
            await existence.require(store)
        case IfMissing.WAIT:
            await existence.wait(store, note)
        case IfMissing.FOLLOW:
            await existence.wait_for_directory(store, note)
            await existence.report_missing(store, note)
        case IfMissing.BEGIN:
            pass


def log_name(settings: Settings) -> str:
    """Return the log's name for people: database, collection and host, without a login."""
    return f"{settings.database.value}.{settings.collection.value} at {_host_of(settings.uri.value)}"


def _host_of(uri: str) -> str:
    scheme, is_mongodb, rest = uri.partition("://")
    return rest.partition("/")[0].partition("?")[0].rpartition("@")[2] if is_mongodb else scheme


def _came_from(settings: Settings) -> str:
    if settings.uri.is_default:
        return "it is the default: name yours with --uri or CRAFT_EVENTS_URI"
    return f"it came from {settings.uri.origin}"


def not_found(event_id: str, settings: Settings) -> ExitCode:
    """Report on stderr that an event does not exist, and return the exit code."""
    from craft_easy.core.events.store.read import MIN_PREFIX

    terminal.error(f"there is no event {event_id} in {log_name(settings)}")
    if len(event_id) < MIN_PREFIX:
        terminal.note(f"the beginning of an id needs at least {MIN_PREFIX} characters")
    else:
        terminal.note("is it another database or collection? --database and --collection name them")
    return ExitCode.UNFINISHED
