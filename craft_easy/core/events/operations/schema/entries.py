"""The event classes that are loaded, with their schemas and the handlers of their types.

from craft_easy.core.events import get_event_bus
from craft_easy.core.events.operations.schema.entries import entries

for entry in entries(get_event_bus().registry):
    print(entry.event_type, entry.schema.class_name, [handler.id for handler in entry.handlers])
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic.errors import PydanticUserError

from craft_easy.core.events import types as own_types  # its event classes are part of every catalogue
from craft_easy.core.events.errors import HandlerModuleError
from craft_easy.core.events.model import event_class
from craft_easy.core.events.model.event import class_name
from craft_easy.core.events.model.schema.generate import EventSchema, schema_of
from craft_easy.core.events.model.selection import compile_pattern

if TYPE_CHECKING:
    from craft_easy.core.events.handlers.registry import Handler, Registry

DomainEvent = own_types.DomainEvent


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """An event type that a loaded class claims.

    Args:
        schema: the schemas of its payload.
        file: the file of the class, or None.
        line: its line in the file, or None.
        handlers: the handlers that react to the type, in the order in which they run.
    """

    schema: EventSchema
    file: str | None
    line: int | None
    handlers: tuple[Handler, ...]

    @property
    def event_type(self) -> str:
        """The event type."""
        return self.schema.event_type


def entries(registry: Registry, *, types: Sequence[str] = (), except_types: Sequence[str] = ()) -> list[CatalogueEntry]:
    """Return the event types that loaded classes claim, in alphabetical order.

    Args:
        registry: the registry of the handlers.
        types: patterns of event types; none for all.
        except_types: patterns of event types that are left out.

    Raises:
        HandlerModuleError: a class has no schema.
    """
    return [_entry(cls, registry) for name, cls in _classes() if is_chosen(name, types, except_types)]


def is_chosen(event_type: str, types: Sequence[str], except_types: Sequence[str]) -> bool:
    """Return whether an event type matches one of the patterns, if there are any, and none of the others."""
    if types and not _matches(types, event_type):
        return False
    return not _matches(except_types, event_type)


def _matches(patterns: Sequence[str], event_type: str) -> bool:
    return any(compile_pattern(pattern).matches(event_type) for pattern in patterns)


def _classes() -> Iterator[tuple[str, type[DomainEvent]]]:
    for name, cls in sorted(event_class.classes().items()):
        if issubclass(cls, DomainEvent):
            yield name, cls


def _entry(cls: type[DomainEvent], registry: Registry) -> CatalogueEntry:
    try:
        schema = schema_of(cls)
    except PydanticUserError as error:
        raise HandlerModuleError(cls.__module__, f"defines {class_name(cls)}, which has no schema: {error}") from error
    file, line = _place(cls)
    return CatalogueEntry(schema, file, line, registry.plan(schema.event_type).handlers)


def _place(cls: type[DomainEvent]) -> tuple[str | None, int | None]:
    """Return where a class is defined; nothing for one that was typed into a shell."""
    try:
        return inspect.getsourcefile(cls), inspect.getsourcelines(cls)[1]
    except (OSError, TypeError):
        return None, None
