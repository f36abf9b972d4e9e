"""Which class reads which event type back from the log.

A class claims a type by stating `event_type` in its own body. Two classes that claim one type would make the log say
different things in different processes, so the second is refused, unless it is the first one again.
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from craft_easy.core.events.model.event import DomainEvent

_INTERACTIVE: Final = ("<stdin>", "<console>", "<input>", "<doctest", "<ipython-input", "<python-input")


@dataclass(frozen=True, slots=True)
class Definition:
    """An event class and the place of its `class` statement."""

    event_class: type[DomainEvent]
    file: str
    line: int

    @property
    def name(self) -> str:
        """The class as an import would reach it."""
        return f"{self.event_class.__module__}.{self.event_class.__qualname__}"

    @property
    def place(self) -> str:
        """Where a reader finds the class."""
        return f"{self.name} ({self.file}:{self.line})"

    @property
    def is_passing(self) -> bool:
        """Whether the class is local to a function, or stands in a notebook or a prompt, where cells run again."""
        if "<locals>" in self.event_class.__qualname__ or self.file.startswith(_INTERACTIVE):
            return True
        return self.event_class.__module__ == "__main__" and self.file != "<string>" and not Path(self.file).exists()

    def is_reload_of(self, other: Definition) -> bool:
        """Whether this is the same class, its module run once more."""
        return self.file == other.file and self.event_class.__qualname__ == other.event_class.__qualname__


_definitions: dict[str, Definition] = {}


def register(event_class: type[DomainEvent], event_type: str) -> None:
    """Make a class the one that reads events of a type.

    Warns where a local or a notebook class takes the place of another. Raises TypeError, naming both places, where
    another class claims the type already.
    """
    new, old = _define(event_class), _definitions.get(event_type)
    if old is not None:
        _check_replacement(old, new, event_type)
    _definitions[event_type] = new


def class_of(event_type: str) -> type[DomainEvent] | None:
    """Return the class that claims an event type, if there is one."""
    definition = _definitions.get(event_type)
    return definition.event_class if definition else None


def _check_replacement(old: Definition, new: Definition, event_type: str) -> None:
    if old.is_passing or new.is_passing:
        text = f"{new.place} replaces {old.place} as the class of {event_type!r}"
        warnings.warn_explicit(text, UserWarning, new.file, new.line)
    elif not new.is_reload_of(old):
        raise TypeError(
            f"two classes claim the event type {event_type!r}: {old.place} and {new.place}; "
            "give one of them another event_type, or let it inherit the type instead of stating it"
        )


def _define(event_class: type[DomainEvent]) -> Definition:
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  # the cheap way to a frame; inspect reads source files
    while frame is not None:
        if frame.f_globals.get("__name__") == event_class.__module__:
            return Definition(event_class, frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back
    module = sys.modules.get(event_class.__module__)
    return Definition(event_class, getattr(module, "__file__", None) or "<unknown>", 0)
