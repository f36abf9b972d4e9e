"""The classes that read events back from the log, by event type.

A class claims a type by stating `event_type` in its own body. If two classes claimed one type, processes would read the
same record differently, so the second is refused, unless it is a new version of the first: from a module that is
reloaded, or a notebook's cell that is run again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pydantic import BaseModel

_classes: Final[dict[str, type[BaseModel]]] = {}


def register(event_class: type[BaseModel], event_type: str) -> None:
    """Have a class read the events of a type; a class of the same qualified name is replaced.

    Raises:
        TypeError: another class claims the type already; the message names both.
    """
    former = _classes.get(event_type)
    if former is not None and name_of(former) != name_of(event_class):
        raise TypeError(
            f"two classes claim the event type {event_type!r}: {name_of(former)} and {name_of(event_class)}; "
            "give one of them another event_type"
        )
    _classes[event_type] = event_class


def class_of(event_type: str) -> type[BaseModel] | None:
    """Return the class that claims an event type, if there is one."""
    return _classes.get(event_type)


def classes() -> dict[str, type[BaseModel]]:
    """Return every class that claims an event type, by this type."""
    return dict(_classes)


def name_of(event_class: type[BaseModel]) -> str:
    """Return the qualified name of a class, with its module."""
    return f"{event_class.__module__}.{event_class.__qualname__}"


@contextmanager
def forgetting_classes(*, keep: str | tuple[str, ...] = "") -> Iterator[None]:
    """At the end of the block, forget the classes that claimed a type in it and restore the former ones.

    Args:
        keep: the prefixes of the modules whose classes still count within the block, as "craft_easy."; "" for all.
    """
    former = dict(_classes)
    _set({event_type: cls for event_type, cls in former.items() if cls.__module__.startswith(keep)})
    try:
        yield
    finally:
        _set(former)


def _set(classes: dict[str, type[BaseModel]]) -> None:
    _classes.clear()
    _classes.update(classes)
