"""The check that a log exists: a name with a typo in it must not read as a log without any event.

MongoDB answers a query of a collection that does not exist like one of an empty collection, and an embedded log
is created when its directory is joined. So a command that reads or acts asks here first, once for a run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from craft_easy.core.events import embedded
from craft_easy.core.events.errors import LogNotFound, StoreError, StoreUnavailable
from craft_easy.core.events.settings import HANDLERS_SUFFIX, WORKERS_SUFFIX
from craft_easy.core.events.store import drivers

if TYPE_CHECKING:
    from craft_easy.core.events.store.log import Log

POLL_S: Final = 0.5
MAX_NAMED: Final = 3
MAX_DATABASES: Final = 20
"""The maximum number of databases in which the collection is looked for."""
_OF_THE_SERVER: Final = frozenset({"admin", "config", "local"})


async def require(log: Log) -> None:
    """Check that the log exists, with one query for the name of its collection; nothing is created.

    Raises:
        LogNotFound: it does not; the message names similar ones that exist.
        StoreUnavailable: the server was not reached.
    """
    require_directory(log)
    async with log.call() as connection:
        if await drivers.collection_names(connection.database, log.name):
            return
    similar = await _similar(log)
    raise LogNotFound(
        f"collection {log.name} in {log.database_name}",
        similar,
        hint="--database and --collection name the log; the first publish, or craft-events doctor --fix, creates it",
    )


def require_directory(log: Log) -> None:
    """Check that the directory of an embedded log holds one; a log on a server has none.

    Raises:
        LogNotFound: it does not.
    """
    directory = log.embedded_directory
    if directory is None or embedded.is_there(directory):
        return
    neighbours = embedded.logs_beside(directory)
    raise LogNotFound(
        f"embedded event log in {directory}",
        _closest(directory.rstrip("/").rpartition("/")[2], neighbours),
        hint=f"craft-events serve {directory} starts a new one; the first publish does, too",
    )


async def wait(log: Log, on_wait: Callable[[LogNotFound | StoreUnavailable], object]) -> None:
    """Wait until the log is reached and exists; `on_wait` is called once with each kind of error."""
    reported: set[type[Exception]] = set()
    while True:
        try:
            return await require(log)
        except (LogNotFound, StoreUnavailable) as error:
            if type(error) not in reported:
                on_wait(error)
                reported.add(type(error))
        await asyncio.sleep(POLL_S)


async def wait_for_directory(log: Log, on_missing: Callable[[LogNotFound], object]) -> None:
    """Wait until the directory of an embedded log exists; where it does not, `on_missing` is called once."""
    is_reported = False
    while True:
        try:
            return require_directory(log)
        except LogNotFound as error:
            if not is_reported:
                on_missing(error)
                is_reported = True
        await asyncio.sleep(POLL_S)


async def report_missing(log: Log, on_missing: Callable[[LogNotFound], object]) -> None:
    """Call `on_missing` where the log does not exist."""
    try:
        await require(log)
    except LogNotFound as error:
        on_missing(error)


async def _similar(log: Log) -> Sequence[str]:
    """Return the names of logs that may be meant: in the same database, else of the same name in others."""
    with suppress(StoreError):  # a login may read a log and not list what else there is
        async with log.call() as connection:
            here = await drivers.collection_names(connection.database)
            logs = [name for name in here if name + WORKERS_SUFFIX in here]
            others = [name for name in here if not name.endswith((WORKERS_SUFFIX, HANDLERS_SUFFIX))]
            if similar := _closest(log.name, logs) or _closest(log.name, others) or logs[:MAX_NAMED]:
                return similar
            client = connection.database.client
            databases = [name for name in await client.list_database_names() if name not in _OF_THE_SERVER]
            closest = get_close_matches(log.database_name, databases, MAX_DATABASES, cutoff=0)
            with_it = [name for name in closest if await drivers.collection_names(client[name], log.name)]
            return [f"{name}.{log.name}" for name in with_it[:MAX_NAMED]]
    return []


def _closest(name: str, names: Iterable[str]) -> list[str]:
    return get_close_matches(name, list(names), MAX_NAMED, cutoff=0.5)
