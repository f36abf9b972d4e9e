"""Which class reads which event type back from the log.

A class claims a type by stating `event_type` in its own body. Two classes that claim one type would make the log say
different things in different processes, so the second is refused, unless it is the first one again: a module that is
reloaded, a notebook's cell that is run once more.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pydantic import BaseModel

_classes: Final[dict[str, type[BaseModel]]] = {}


def register(event_class: type[BaseModel], event_type: str) -> None:
    """Make a class the one that reads events of a type; one of the same qualified name is replaced.

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


def name_of(event_class: type[BaseModel]) -> str:
    """Return the qualified name of a class, as an import would reach it."""
    return f"{event_class.__module__}.{event_class.__qualname__}"


@contextmanager
def forgetting_classes(*, keep: str = "") -> Iterator[None]:
    """Forget the classes that claim a type within the block; those that it replaces are back afterwards.

    Args:
        keep: the beginning of the modules whose classes count within the block, as "craft_easy."; "" for all.
    """
    former = dict(_classes)
    kept = {event_type: one for event_type, one in former.items() if one.__module__.startswith(keep)}
    _set(kept)
    try:
        yield
    finally:
        _set(former)


def _set(classes: dict[str, type[BaseModel]]) -> None:
    _classes.clear()
    _classes.update(classes)
