"""The changes between two catalogues of events: what was released, and what the code holds now.

Two questions are asked of each type. Does the class still read what an earlier version stored? `accepted` is compared,
and whatever narrows it is breaking. Do those who read the log find what they found before? `stored` is compared, and a
field that is gone or is of another type is breaking; that a value may be null or one more of an enumeration is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from craft_easy.core.events.model.schema.compare import ChangeKind, Difference, differences
from craft_easy.core.events.model.schema.generate import EventSchema

Catalogue = Mapping[str, EventSchema]

_BREAKS_READERS: Final = frozenset({ChangeKind.REMOVED, ChangeKind.RENAMED, ChangeKind.TYPE})


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """A change of an event type.

    Args:
        event_type: the type.
        field: the field, as `lines[].copies`; None for the type as a whole.
        kind: the kind of change.
        text: what changed, in words.
        is_breaking: stored events or their readers no longer fit.
        unfit: the stored events that no longer fit their class, in words that follow "events"; None if all do.
    """

    event_type: str
    field: str | None
    kind: ChangeKind
    text: str
    is_breaking: bool
    unfit: str | None


def changes(old: Catalogue, new: Catalogue) -> list[SchemaChange]:
    """Return the changes from one catalogue to another, by type; those of a type in the order of its fields."""
    found: list[SchemaChange] = []
    for event_type in sorted({*old, *new}):
        if event_type not in new:
            found.append(_removed(event_type, old, new))
        elif event_type not in old:
            found.append(SchemaChange(event_type, None, ChangeKind.ADDED, "added", is_breaking=False, unfit=None))
        else:
            found += _changes_of(old[event_type], new[event_type])
    return found


def _removed(event_type: str, old: Catalogue, new: Catalogue) -> SchemaChange:
    """Report a type that no class claims any more; another that the same class claims now may be its new name."""
    was = old[event_type]
    heirs = [name for name in new if name not in old and _is_heir(was, new[name])]
    if len(heirs) == 1:
        text, kind = f"renamed to {heirs[0]}?", ChangeKind.RENAMED
    else:
        text, kind = "removed", ChangeKind.REMOVED
    return SchemaChange(event_type, None, kind, text, is_breaking=True, unfit="all, no class claims them")


def _is_heir(was: EventSchema, now: EventSchema) -> bool:
    names = {one.class_name.rpartition(".")[2] for one in (was, now)}  # its module may have moved
    return len(names) == 1 and not differences(was.stored, now.stored)


def _changes_of(old: EventSchema, new: EventSchema) -> Iterator[SchemaChange]:
    accepted = differences(old.accepted, new.accepted)
    for one in accepted:
        yield _change(old.event_type, one, is_breaking=one.kind.is_breaking)
    told = {one.path for one in accepted}
    broken = {one.path for one in accepted if one.kind.is_breaking}
    for one in differences(old.stored, new.stored):
        is_breaking = one.kind in _BREAKS_READERS
        if one.path not in broken and (is_breaking or (one.kind is ChangeKind.WIDER and one.path not in told)):
            change = Difference(one.path, one.kind, f"stored as: {one.text}")
            yield _change(old.event_type, change, is_breaking=is_breaking)


def _change(event_type: str, one: Difference, *, is_breaking: bool) -> SchemaChange:
    return SchemaChange(event_type, one.path or None, one.kind, one.text, is_breaking=is_breaking, unfit=one.unfit)
