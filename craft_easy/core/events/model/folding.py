"""Fields are payload: how the fields of a typed event are folded into its payload.

Folding runs once an instance is validated, whichever way it came (`__init__`, `model_validate`, as a field of another
model), because it is the `post_init` of the class's core schema: the cheapest place there is, and one that a user's own
`model_post_init` cannot displace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from pydantic import AliasChoices, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from craft_easy.core.events.model.envelope import ENVELOPE

if TYPE_CHECKING:
    from craft_easy.core.events.model.event import DomainEvent


def own_fields(event_class: type[DomainEvent]) -> tuple[str, ...]:
    """Return the names of the fields that `DomainEvent` lacks, in the order of their declaration."""
    return tuple(name for name in event_class.__pydantic_fields__ if name not in ENVELOPE)


def accepted_names(event_class: type[DomainEvent]) -> dict[str, str]:
    """Return each name and alias under which a field is accepted, with the field's name."""
    fields = event_class.__pydantic_fields__.items()
    return {key: name for name, field in fields for key in (*_aliases(field), name)}


def fold(event: DomainEvent, _context: object = None, /) -> None:
    """Put the event's own fields into a new payload, beside the keys that the payload has already.

    Raises ValidationError where a key of the payload contradicts the field.
    """
    values = event.__dict__
    folded = values.copy()
    del folded["event_id"], folded["event_type"], folded["timestamp"]
    del folded["tenant_id"], folded["actor_id"], folded["payload"]
    if values["payload"]:
        folded = _merged(event, folded)
    values["payload"] = folded


def fold_around_post_init(event: DomainEvent, context: Any, /) -> None:
    """Fold, let the class's own `model_post_init` see the payload, and fold what it may have changed."""
    fold(event)
    event.model_post_init(context)
    refold(event)


def refold(event: DomainEvent) -> None:
    """Fold without a check: what the fields say replaces what the payload says."""
    values = event.__dict__
    own = {name: values[name] for name in type(event).__own_fields__ if name in values}
    if own:
        values["payload"] = {**values["payload"], **own}


def install(event_class: type[DomainEvent], schema: CoreSchema) -> None:
    """Make the class's core schema fold; parts that a class does not need stay out of it."""
    model: Any = schema
    while model["type"] != "model":
        model = model["schema"]  # the class's own validators and serialisers stand around it
    if str(model.get("post_init")).startswith("__fold"):
        return
    model["post_init"] = "__fold_around_post_init__" if event_class.__pydantic_post_init__ else "__fold__"
    tidy = _tidy(event_class)
    if tidy:
        model["schema"] = core_schema.no_info_before_validator_function(tidy, model["schema"])


def _merged(event: DomainEvent, own: dict[str, Any]) -> dict[str, Any]:
    payload: Any = event.__dict__["payload"]
    if not own:
        return payload  # type: ignore[no-any-return]
    if not isinstance(payload, Mapping):
        _refuse(
            event, ("payload",), payload, "payload_type", "the payload must be an object, so that fields fit into it"
        )
    for name in own:
        if name in payload and not _says_the_same(event, name, payload[name]):
            reason = f"the payload contradicts the field {name!r}: give it once, or the same value twice"
            _refuse(event, ("payload", name), payload[name], "payload_contradiction", reason)
    return {**own, **payload, **own}


def _says_the_same(event: DomainEvent, name: str, stated: object) -> bool:
    value = event.__dict__[name]
    if _equal(stated, value):
        return True
    candidate = {**event.__dict__, "payload": {}, name: stated}
    try:
        other = type(event).model_validate(candidate, strict=False, by_alias=True, by_name=True)
    except Exception:  # noqa: BLE001  # validators of users raise what they like; it means that the value does not fit
        return False
    return _equal(other.__dict__[name], value)


def _equal(one: object, other: object) -> bool:
    try:
        return one is other or bool(one == other)
    except Exception:  # noqa: BLE001  # an array has no single truth, and then it is not known to be equal
        return False


def _refuse(event: DomainEvent, path: tuple[str, ...], value: object, code: str, reason: str) -> NoReturn:
    # A reason may hold braces of a user's: they go in as a value, never as part of the template.
    error = PydanticCustomError(code, "{reason}", {"reason": reason})
    details = InitErrorDetails(type=error, loc=path, input=value)
    raise ValidationError.from_exception_data(type(event).__name__, [details])


def _tidy(event_class: type[DomainEvent]) -> Callable[[Any], Any] | None:
    """Return what makes the class's own dump acceptable to it, if it needs anything.

    Computed fields are in a dump and are no arguments; excluded fields are arguments and are in its payload alone.
    """
    accepted = accepted_names(event_class)
    computed = set(_computed_names(event_class)) - accepted.keys()
    excluded = {name: [key for key, field in accepted.items() if field == name] for name in _excluded(event_class)}
    if not computed and not excluded:
        return None

    def tidy(values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        kept = {key: value for key, value in values.items() if key not in computed}
        payload = kept.get("payload")
        if isinstance(payload, Mapping):
            missing = (name for name, keys in excluded.items() if not any(key in kept for key in keys))
            kept.update({name: payload[name] for name in missing if name in payload})
        return kept

    return tidy


def _computed_names(event_class: type[DomainEvent]) -> Iterable[str]:
    for name, decorator in event_class.__pydantic_decorators__.computed_fields.items():
        yield name
        if decorator.info.alias:
            yield decorator.info.alias


def _excluded(event_class: type[DomainEvent]) -> Iterable[str]:
    fields = event_class.__pydantic_fields__
    return (name for name in own_fields(event_class) if fields[name].exclude or fields[name].exclude_if)


def _aliases(field: FieldInfo) -> Iterable[str]:
    choices = field.validation_alias.choices if isinstance(field.validation_alias, AliasChoices) else []
    return (key for key in (field.alias, field.validation_alias, *choices) if isinstance(key, str))
