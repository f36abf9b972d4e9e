"""Ids of events: arguments, of which a unique beginning is enough, and those of a file.

A file has an id a line, or NDJSON with `event_id` and, where one is meant alone, `handler`: what `--failures-out`
writes, and every list of this command line prints.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Final

from craft_events_cli import terminal
from craft_events_cli.errors import UsageError

if TYPE_CHECKING:
    from craft_easy.core.events.store import EventStore

OPTION: Final = "--ids-from"
MAX_ID: Final = 1_000
"""The maximum length of an id: a longer one means that this is the wrong file."""
MAX_LINE: Final = 20_000_000


def read(path: str) -> dict[str, frozenset[str] | None]:
    """Return the events named in a file, each with the handlers that it is limited to, or None for all.

    Args:
        path: a file; `-` is stdin.

    Raises:
        UsageError: the file cannot be read, or a line names no event.
    """
    found: dict[str, frozenset[str] | None] = {}
    with _opened(path) as file:
        lines = iter(lambda: file.readline(MAX_LINE + 1), b"")
        for number, line in enumerate(lines, 1):
            try:
                named = _named(_text(line, is_first=number == 1))
            except ValueError as error:
                raise _unreadable(path, f"line {number:,}: {error}") from None
            if named is not None:
                _add(found, *named)
    return found


async def whole(store: EventStore, given: Sequence[str]) -> tuple[str, ...]:
    """Return the ids of events that a command will act on, each completed and then shown whole on stderr."""
    if not given:
        return ()
    from craft_easy.core.events.store.read import whole_ids

    ids = await whole_ids(store, given)
    for short, event_id in zip(given, ids, strict=True):
        if short != event_id:
            terminal.note(f"{short} is {event_id}")
    return tuple(ids)


async def completed(store: EventStore, prefix: str) -> str | None:
    """Return the one event id that begins with a text; None if no event has such an id."""
    from craft_easy.core.events.store.read import completed as complete

    return await complete(store, prefix)


def _add(found: dict[str, frozenset[str] | None], event_id: str, handler: str | None) -> None:
    before = found.get(event_id, frozenset())
    found[event_id] = None if handler is None or before is None else before | {handler}


def _named(line: str) -> tuple[str, str | None] | None:
    """Return the event that a line names, and its handler; None for an empty line."""
    if not line:
        return None
    if not line.startswith(("{", '"')):
        return _checked(line), None
    try:
        row = json.loads(line)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValueError:
        raise ValueError("not valid JSON") from None
    if isinstance(row, str):
        return _checked(row), None
    handler = row.get("handler")
    return _checked(row.get("event_id")), handler if isinstance(handler, str) else None


def _checked(event_id: object) -> str:
    if not isinstance(event_id, str) or not event_id:
        raise ValueError('no valid "event_id"')
    if len(event_id) > MAX_ID:
        raise ValueError(f"an id of more than {MAX_ID:,} characters")
    return event_id


def _text(line: bytes, *, is_first: bool) -> str:
    if len(line) > MAX_LINE:
        raise ValueError(f"more than {MAX_LINE:,} bytes")
    return line.decode("utf-8-sig" if is_first else "utf-8").strip()


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    if path == "-":
        yield terminal.stdin()
        return
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed below
    except (OSError, ValueError) as error:
        raise _unreadable(path, getattr(error, "strerror", None) or str(error)) from None
    with file:
        try:
            yield file
        except OSError as error:
            raise _unreadable(path, error.strerror or str(error)) from None


def _unreadable(path: str, reason: str) -> UsageError:
    where = "standard input" if path == "-" else path
    return UsageError(
        f"{OPTION}: {where}: {reason}",
        hint="write an event id on each line, or NDJSON with event_id",
    )
