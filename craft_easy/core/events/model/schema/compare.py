"""The differences between two JSON schemas, as one that was and one that is.

References are resolved, and the order of alternatives, titles and descriptions do not matter. A pair of schemas that is
being compared already counts as equal, so that recursive models end.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from craft_easy.core.events.model.schema.shape import ANY, NULL, Schema, Shape, alternatives, target, words_of


class ChangeKind(StrEnum):
    """What happened to a field, or to a type of events."""

    ADDED = "added"
    OPTIONAL = "optional"
    WIDER = "wider"
    DEFAULT = "default"
    REMOVED = "removed"
    RENAMED = "renamed"
    REQUIRED = "required"
    TYPE = "type"
    NARROWER = "narrower"

    @property
    def is_breaking(self) -> bool:
        """True if stored events or their readers may no longer fit."""
        return self in _BREAKING


_BREAKING: Final = frozenset(
    {ChangeKind.REMOVED, ChangeKind.RENAMED, ChangeKind.REQUIRED, ChangeKind.TYPE, ChangeKind.NARROWER}
)
MAX_DIFFERENCES: Final = 200
"""The maximum number of differences between two definitions: a hostile file cannot multiply them."""
_READ_AS: Final = {"integer": ("number", "decimal"), "number": ("decimal",)}
"""The kinds that Pydantic reads values of a kind as, without loss."""
_LOWER: Final = {
    "minimum": ("minimum", "below"),
    "exclusiveMinimum": ("more than", "not more than"),
    "minLength": ("minimum length", "shorter than"),
    "minItems": ("minimum of items", "with fewer items than"),
    "minProperties": ("minimum of keys", "with fewer keys than"),
}
_UPPER: Final = {
    "maximum": ("maximum", "above"),
    "exclusiveMaximum": ("less than", "not less than"),
    "maxLength": ("maximum length", "longer than"),
    "maxItems": ("maximum of items", "with more items than"),
    "maxProperties": ("maximum of keys", "with more keys than"),
}
_OTHER: Final = {
    "pattern": ("pattern", "that do not match"),
    "format": ("format", "that are not a"),
    "multipleOf": ("multiple of", "that are not a multiple of"),
}
_WORDS: Final = {**_LOWER, **_UPPER, **_OTHER}
"""A limit in words, and the values outside of it."""
_ANYTHING: Final[Schema] = {}
_TEXT: Final[Schema] = {"type": "string"}
"""Schemas that stand for none at all. They are never freed, so that each has an identity of its own."""
_STRUCTURE: Final = frozenset(
    {"type", "bsonType", "enum", "const", "properties", "required", "additionalProperties", "items", "prefixItems",
     "anyOf", "oneOf", "allOf", "$defs", "$ref", "x-python"}
)  # fmt: skip
_REMARKS: Final = frozenset(
    {"title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment", "discriminator",
     "uniqueItems"}
)  # fmt: skip
"""Keywords that exclude no value; Pydantic reads an array with repeated items into a set."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference between two schemas.

    Args:
        path: the dotted names of the fields to it, `lines[].copies`; empty for the schema itself.
        kind: its kind.
        text: what changed, in words.
        unfit: the stored values that no longer fit, in words that follow "events"; None if all fit.
    """

    path: str
    kind: ChangeKind
    text: str
    unfit: str | None = None

    def below(self, name: str) -> Difference:
        """Return the same difference in a schema that contains this one."""
        separator = "." if self.path and not self.path.startswith("[") else ""
        return replace(self, path=f"{name}{separator}{self.path}")


Differences = list[Difference]


def differences(old: Schema, new: Schema) -> Differences:
    """Return the differences between two schemas, those of fields in the order of the old one."""
    return _Comparison(old, new).compare(old, new)


@dataclass(slots=True)
class _Comparison:
    """Compares the parts of two schemas.

    Args:
        old: the whole schema that was, with its definitions.
        new: the whole schema that is.
    """

    old: Schema
    new: Schema
    _known: dict[tuple[int, int], Differences] = field(default_factory=dict)
    """The differences of pairs that were compared, and none for those under comparison, by identity."""

    def compare(self, old: Any, new: Any) -> Differences:
        pair = (id(target(old, self.old)), id(target(new, self.new)))
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            if pair in self._known:
                return self._known[pair]
            self._known[pair] = []
        found = self._choices(alternatives(old, self.old), alternatives(new, self.new))[:MAX_DIFFERENCES]
        if pair in self._known:
            self._known[pair] = found
        return found

    def _choices(self, old: list[Shape], new: list[Shape]) -> Differences:
        if any(one.schema == {} for one in old) and any(one.schema == {} for one in new):
            return []
        found: Differences = []
        lost: list[Shape] = []
        met: set[int] = set()
        for shape in old:
            place, best = self._closest(shape, new, is_union=len(old) > 1 or len(new) > 1)
            if place is None:
                lost.append(shape)
            else:
                met.add(place)
                found += best
        gained = [one for place, one in enumerate(new) if place not in met and not self._is_among(one, old)]
        if lost:
            return [*found, self._lost(old, new, lost, is_replaced=any(one.kind != NULL for one in gained))]
        return [*found, self._change(ChangeKind.WIDER, old, new)] if gained else found

    def _is_among(self, shape: Shape, choices: list[Shape]) -> bool:
        return any(_is_related(one, shape) and not self._shapes(one, shape) for one in choices)

    def _closest(self, shape: Shape, choices: list[Shape], *, is_union: bool) -> tuple[int | None, Differences]:
        """Return the place of the alternative that fits best, and its differences; None if none is of this kind."""
        compared = [(place, self._shapes(shape, one)) for place, one in enumerate(choices) if _is_related(shape, one)]
        if is_union:  # in a union, only what is meant to be the same is compared field by field
            compared = [
                (place, found)
                for place, found in compared
                if _is_kin(shape, choices[place]) or not any(one.kind.is_breaking for one in found)
            ]
        if not compared:
            return None, []
        return min(compared, key=lambda one: (sum(each.kind.is_breaking for each in one[1]), len(one[1])))

    def _lost(self, old: list[Shape], new: list[Shape], lost: list[Shape], *, is_replaced: bool) -> Difference:
        unfit = "all" if len(lost) == len(old) else f"those where it is {words_of(lost, self.old)}"
        return self._change(ChangeKind.TYPE if is_replaced else ChangeKind.NARROWER, old, new, unfit=unfit)

    def _change(self, kind: ChangeKind, old: list[Shape], new: list[Shape], *, unfit: str | None = None) -> Difference:
        return Difference("", kind, f"{words_of(old, self.old)} → {words_of(new, self.new)}", unfit)

    def _shapes(self, old: Shape, new: Shape) -> Differences:
        if old.kind != new.kind:
            kind = ChangeKind.NARROWER if old.kind == ANY else ChangeKind.WIDER
            unfit = f"those where it is not {words_of([new], self.new)}" if kind is ChangeKind.NARROWER else None
            return [self._change(kind, [old], [new], unfit=unfit)]
        found = [*_limits(old.schema, new.schema), *_values(old.schema, new.schema)]
        if old.kind == "object":
            found += self._objects(old.schema, new.schema)
        elif old.kind == "array":
            found += self._arrays(old.schema, new.schema)
        return found

    # objects

    def _objects(self, old: Schema, new: Schema) -> Differences:
        was, now = _fields(old), _fields(new)
        renamed = self._renamed(old, new)
        found: Differences = []
        for name in was:
            if name in now:
                found += self._field(name, old, new)
            elif name in renamed:
                found.append(_rename(name, renamed[name], new))
            else:
                unfit = "those with it" if new.get("additionalProperties") is False else None
                found.append(Difference(name, ChangeKind.REMOVED, "removed", unfit))
        added = [name for name in now if name not in was and name not in renamed.values()]
        return [*found, *(_addition(name, new) for name in added), *self._other_keys(old, new)]

    def _field(self, name: str, old: Schema, new: Schema) -> Differences:
        was, now = _fields(old)[name], _fields(new)[name]
        found = [one.below(name) for one in self.compare(was, now)]
        before, after = name in _required(old), name in _required(new)
        if after and not before:
            found.append(Difference(name, ChangeKind.REQUIRED, "made required", "those without it"))
        elif before and not after:
            found.append(Difference(name, ChangeKind.OPTIONAL, "made optional"))
        elif (change := _default_change(was, now)) and not after:
            found.append(Difference(name, ChangeKind.DEFAULT, change))
        return found

    def _renamed(self, old: Schema, new: Schema) -> dict[str, str]:
        """Return the new names of the fields that seem to be renamed: one of this schema is gone, and one has come."""
        was, now = _fields(old), _fields(new)
        gone = [name for name in was if name not in now]
        come = [name for name in now if name not in was]
        twins = {name: [other for other in come if self._is_twin(name, old, other, new)] for name in gone}
        named = [others[0] for others in twins.values() if len(others) == 1]
        return {name: others[0] for name, others in twins.items() if len(others) == 1 and named.count(others[0]) == 1}

    def _is_twin(self, name: str, old: Schema, other: str, new: Schema) -> bool:
        is_as_needed = (name in _required(old)) is (other in _required(new))
        return is_as_needed and not self.compare(_fields(old)[name], _fields(new)[other])

    def _other_keys(self, old: Schema, new: Schema) -> Iterator[Difference]:
        """Compare what an object may hold besides its fields."""
        was, now = old.get("additionalProperties"), new.get("additionalProperties")
        if now is False:
            if was not in (None, False):
                yield Difference("", ChangeKind.NARROWER, "other keys are refused", "those with other keys")
        elif isinstance(now, Mapping):
            yield from (one.below("*") for one in self.compare(_ANYTHING if was in (None, True) else was, now))
        elif isinstance(was, Mapping) and was:
            yield Difference("*", ChangeKind.WIDER, "any value")
        if "propertyNames" in old or "propertyNames" in new:
            names = self.compare(old.get("propertyNames", _TEXT), new.get("propertyNames", _TEXT))
            yield from (one.below("{key}") for one in names)

    # arrays

    def _arrays(self, old: Schema, new: Schema) -> Iterator[Difference]:
        was, now = old.get("prefixItems", []), new.get("prefixItems", [])
        for place in range(max(len(was), len(now))):
            before, after = _item(old, was, place), _item(new, now, place)
            if before is not None and after is not None:
                yield from (one.below(f"[{place}]") for one in self.compare(before, after))
        if "items" in new and ("items" in old or not was):
            yield from (one.below("[]") for one in self.compare(old.get("items", _ANYTHING), new["items"]))
        elif "items" in old and not now and old["items"] not in ({}, True):
            yield Difference("[]", ChangeKind.WIDER, "any item")


def _is_related(old: Shape, new: Shape) -> bool:
    return old.kind == new.kind or ANY in (old.kind, new.kind) or new.kind in _READ_AS.get(old.kind, ())


def _is_kin(old: Shape, new: Shape) -> bool:
    """Return whether two alternatives are versions of one: models of the same tag, or else of the same name."""
    was, now = _tags(old.schema), _tags(new.schema)
    if shared := was.keys() & now.keys():
        return any(was[name] == now[name] for name in shared)
    return old.kind != "object" or old.name == new.name


def _tags(schema: Schema) -> dict[str, str]:
    """Return the fields that have one value only, with it: in a tagged union one of them tells the models apart."""
    fields = _fields(schema).items()
    return {name: json.dumps(one["const"]) for name, one in fields if isinstance(one, Mapping) and "const" in one}


def _fields(schema: Schema) -> Mapping[str, Any]:
    found = schema.get("properties")
    return found if isinstance(found, Mapping) else {}


def _required(schema: Schema) -> Iterable[str]:
    found = schema.get("required")
    return found if isinstance(found, list) else []


def _item(schema: Schema, prefix: list[Any], place: int) -> Any:
    """Return the schema of the item at a place; None where the array says nothing about it."""
    return prefix[place] if place < len(prefix) else schema.get("items")


def _addition(name: str, schema: Schema) -> Difference:
    if name in _required(schema):
        return Difference(name, ChangeKind.REQUIRED, "added, required", "those without it")
    return Difference(name, ChangeKind.ADDED, "added, optional")


def _rename(name: str, other: str, schema: Schema) -> Difference:
    unfit = f"all, they have no {other}" if other in _required(schema) else None
    return Difference(name, ChangeKind.RENAMED, f"renamed to {other}?", unfit)


def _default_change(old: Any, new: Any) -> str | None:
    """Return the change of a default that both have, in words."""
    if not (isinstance(old, Mapping) and isinstance(new, Mapping) and "default" in old and "default" in new):
        return None
    was, now = json.dumps(old["default"]), json.dumps(new["default"])
    return None if was == now else f"default {was} → {now}"


# ------------------------------------------------------------------ values


def _values(old: Schema, new: Schema) -> Iterator[Difference]:
    """Compare the values of an enumeration."""
    was, now = old.get("enum"), new.get("enum")
    if not isinstance(now, list):
        if isinstance(was, list):
            yield Difference("", ChangeKind.WIDER, "any value")
        return
    if not isinstance(was, list):
        yield Difference("", ChangeKind.NARROWER, f"only {_listed(now)}", "those with another value")
        return
    if lost := [one for one in was if one not in now]:
        yield Difference("", ChangeKind.NARROWER, f"without {_listed(lost)}", f"those with {_listed(lost)}")
    if gained := [one for one in now if one not in was]:
        yield Difference("", ChangeKind.WIDER, f"also {_listed(gained)}")


def _listed(values: list[Any]) -> str:
    return ", ".join(json.dumps(one) for one in values)


def _limits(old: Schema, new: Schema) -> Iterator[Difference]:
    """Compare the keywords that exclude values."""
    for name in dict.fromkeys([*old, *new]):
        if name in _STRUCTURE or name in _REMARKS or name == "propertyNames" or old.get(name) == new.get(name):
            continue
        if isinstance(new.get("enum"), list) and name not in new:
            continue  # the values that are left say it
        label, outside = _WORDS.get(name, (name, "outside the new"))
        text = f"{label} {_limit(old, name)} → {_limit(new, name)}"
        if name not in new or _is_looser(name, old.get(name), new[name]):
            yield Difference("", ChangeKind.WIDER, text)
        else:
            yield Difference("", ChangeKind.NARROWER, text, f"those {outside} {_limit(new, name)}")


def _limit(schema: Schema, name: str) -> str:
    value = schema.get(name, "none")
    return value if isinstance(value, str) else json.dumps(value)


def _is_looser(name: str, old: Any, new: Any) -> bool:
    try:
        was, now = float(old), float(new)
    except (TypeError, ValueError):
        return False
    return (name in _LOWER and now < was) or (name in _UPPER and now > was)
