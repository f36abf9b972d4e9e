"""Events: immutable facts, and the classes that read them back from the log.

    class BookingCancelled(DomainEvent):
        event_type: str = "booking.cancelled"
        booking_id: str
        reason: str

    event = BookingCancelled(booking_id="b-7", reason="rain", tenant_id="tenant_123")
    event.booking_id == event.payload["booking_id"] == "b-7"

A class that states `event_type` in its own body claims the type: its events come back from the log as its instances.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, TypeVar, Unpack

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, field_validator
from pydantic_core import CoreSchema, PydanticCustomError, PydanticUndefined
from uuid_utils import uuid7

from craft_easy.core.events.clock import now
from craft_easy.core.events.model import event_class, folding
from craft_easy.core.events.model.envelope import Envelope, cut_to_milliseconds, read_envelope


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an event comes from; no part of its fields, its dumps and its comparisons."""

    payload: dict[str, Any] | None = None
    """The payload of the record; None for an event that was made here."""
    is_foreign: bool = False
    causation_id: str | None = None
    correlation_id: str | None = None
    is_derived: bool = False
    """The id was derived from the delivery that the event was published in."""


_MADE_HERE: Final = Origin()


def stored_payload(event: "DomainEvent") -> dict[str, Any]:
    """Return the payload to print, export, compare and store: that of the record, if the event came from the log.

    So it stays what it was, whatever classes are loaded and however they have changed since. It is not a copy.
    """
    payload = origin_of(event).payload
    return event.payload if payload is None else payload


def is_foreign(event: "DomainEvent") -> bool:
    """Return whether another writer stored the event, in a form that this one would not have."""
    return origin_of(event).is_foreign


def set_cause(event: "DomainEvent", *, causation_id: str, correlation_id: str) -> None:
    """Note the event in whose handler this one was published, and the first event of that chain."""
    set_origin(event, replace(origin_of(event), causation_id=causation_id, correlation_id=correlation_id))


def is_derived(event: "DomainEvent") -> bool:
    """Return whether the event's id was derived from the delivery that it was published in."""
    return origin_of(event).is_derived


def set_derived_id(event: "DomainEvent", event_id: str) -> None:
    """Give an event the id that its parent's delivery derives for it: whoever holds the object sees it from now on."""
    event.__dict__["event_id"] = event_id
    event.__pydantic_fields_set__.add("event_id")
    set_origin(event, replace(origin_of(event), is_derived=True))


# Pydantic's own slot for private values carries the origin through copies and pickles. A declared private attribute
# would do the same, and cost every event half of its construction again.
def origin_of(event: "DomainEvent") -> Origin:
    """Return where an event comes from."""
    private = event.__pydantic_private__
    return private.get("_origin", _MADE_HERE) if private else _MADE_HERE


def set_origin(event: "DomainEvent", origin: Origin) -> None:
    """Note where an event comes from."""
    private = {**(event.__pydantic_private__ or {}), "_origin": origin}
    object.__setattr__(event, "__pydantic_private__", private)


def new_event_id() -> str:
    """Return a new UUID of version 7 (RFC 9562): it sorts by the millisecond in which it was made."""
    return str(uuid7())


class DomainEvent(BaseModel):
    """States an immutable fact, in the past tense.

    A subclass sets `event_type` and declares fields of its own; they are folded into the payload under their names. A
    payload key that contradicts a field, an argument that is no field and a naive `timestamp` are a `ValidationError`.
    Handlers share one payload and must not change it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True)

    __event_type__: ClassVar[str | None] = None
    """The type that every instance of the class states, if the class has one."""
    __states_type__: ClassVar[bool]
    """Whether the class states it in its own body; only subclasses have this."""

    __own_fields__: ClassVar[tuple[str, ...]] = ()
    """The names of the fields that `DomainEvent` lacks, in the order of their declaration."""

    event_id: str = Field(default_factory=new_event_id, min_length=1)
    event_type: str
    timestamp: datetime = Field(default_factory=now)
    tenant_id: str | None = None
    actor_id: str | None = None
    payload: dict[str, Any] = Field(default_factory=dict)

    __fold__ = folding.fold
    __fold_around_post_init__ = folding.fold_around_post_init

    @field_validator("event_type")
    @classmethod
    def _check_type(cls, value: str) -> str:
        if not value:
            raise PydanticCustomError("event_type_empty", "The event type must not be empty")
        if cls.__event_type__ is not None and value != cls.__event_type__:
            text = "An instance of {event_class} is a '{event_type}' and cannot state another type"
            context = {"event_class": cls.__name__, "event_type": cls.__event_type__}
            raise PydanticCustomError("event_type_of_class", text, context)
        return value

    @field_validator("timestamp")
    @classmethod
    def _to_utc(cls, value: datetime) -> datetime:
        if value.utcoffset() is None:
            raise PydanticCustomError("timezone_aware", "Input should have timezone info")
        try:
            return cut_to_milliseconds(value)
        except OverflowError:
            raise PydanticCustomError("date_out_of_range", "Input has no date in UTC") from None

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[BaseModel], handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        if hasattr(cls, "__states_type__"):
            folding.install(cls, handler.resolve_ref_schema(schema))
        return schema

    def __init_subclass__(cls, **kwargs: Unpack[ConfigDict]) -> None:
        super().__init_subclass__(**kwargs)
        _check_declaration(cls)
        # Pydantic takes the defaults out of the class right after this, so here is where the body can be seen.
        stated = cls.__dict__.get("event_type")
        cls.__states_type__ = stated is not None
        if isinstance(stated, str):
            cls.event_type = str.__str__(stated)  # a member of an Enum prints as its name in some places

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        cls.__event_type__, cls.__own_fields__ = _type_of(cls), folding.own_fields(cls)
        if cls.__states_type__ and cls.__event_type__ is not None:
            event_class.register(cls, cls.__event_type__)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "DomainEvent":
        """Return the event of a decoded record, as an instance of the class that claims its type.

        An unknown type, or a payload that no longer fits its class, gives a plain `DomainEvent` with the payload as it
        is stored. Raises nothing, whatever the record holds.
        """
        said = read_envelope(record)
        event = _typed(said) or _plain(said)
        set_origin(event, Origin(said.payload, said.is_foreign, said.causation_id, said.correlation_id))
        return event

    @classmethod
    def model_construct(cls, _fields_set: set[str] | None = None, **values: Any) -> Self:
        """Return an event of values that are known to be valid, folded and not checked."""
        event = super().model_construct(_fields_set, **values)
        folding.refold(event)
        return event

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy, its changed fields validated and folded into its payload again."""
        copy = super().model_copy(deep=deep)
        return _changed(copy, update) if update else copy

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DomainEvent):
            return NotImplemented
        if _class_of(self) is not _class_of(other):
            return False
        return self.__dict__ == other.__dict__ or _fields(self) == _fields(other)  # cached properties aside

    def __hash__(self) -> int:
        return hash(self.event_id)

    if TYPE_CHECKING:

        @property
        def causation_id(self) -> str | None:
            """The id of the event in whose handler this one was published."""

        @property
        def correlation_id(self) -> str | None:
            """The id of the first event of that chain."""

    else:  # an attribute that is only looked up where it is missing leaves both names free for fields of users

        def __getattr__(self, name: str) -> Any:
            if name in ("causation_id", "correlation_id"):
                return getattr(origin_of(self), name)
            return super().__getattr__(name)


Event = TypeVar("Event", bound=DomainEvent)


def _check_declaration(cls: type[DomainEvent]) -> None:
    annotations = cls.__dict__.get("__annotations__", {})  # noqa: RUF063  # as written: names may be unknown yet
    if "ClassVar" in str(annotations.get("event_type")):
        raise TypeError(f'{cls.__qualname__}: event_type is a field: write `event_type: str = "…"`')
    if not cls.model_config.get("frozen") or cls.model_config.get("extra") != "forbid":
        raise TypeError(
            f"{cls.__qualname__}: events are frozen and forbid unknown arguments, so leave `frozen` and `extra` out of "
            "its model_config: what has no field of its own goes into `payload`"
        )


def _type_of(cls: type[DomainEvent]) -> str | None:
    default = cls.__pydantic_fields__["event_type"].default
    if default is PydanticUndefined:
        return None
    if not isinstance(default, str) or not default:
        raise TypeError(f"{cls.__qualname__}: event_type must be a text and not empty, not {default!r}")
    return str.__str__(default)


def _typed(envelope: Envelope) -> DomainEvent | None:
    cls = event_class.class_of(envelope.event_type)
    if cls is None:
        return None
    payload = dict(envelope.payload)
    values = {name: payload.pop(name) for name in cls.__own_fields__ if name in payload}
    values |= {
        "event_id": envelope.event_id,
        "event_type": envelope.event_type,
        "timestamp": envelope.timestamp,
        "tenant_id": envelope.tenant_id,
        "actor_id": envelope.actor_id,
        "payload": payload,
    }
    try:
        event = cls.model_validate(values, strict=False, by_alias=True, by_name=True)
    except Exception:  # noqa: BLE001  # validators of users raise what they like, and no event may be lost for it
        return None
    return event if isinstance(event, DomainEvent) else None


def _plain(envelope: Envelope) -> DomainEvent:
    return DomainEvent.model_construct(
        event_id=envelope.event_id,
        event_type=envelope.event_type,
        timestamp=envelope.timestamp,
        tenant_id=envelope.tenant_id,
        actor_id=envelope.actor_id,
        payload=dict(envelope.payload),
    )


def _changed(event: Event, update: Mapping[str, Any]) -> Event:
    cls = type(event)
    names = folding.accepted_names(cls)
    changes = {names.get(key, key): value for key, value in update.items()}
    extras = {name: value for name, value in dict(event.payload).items() if name not in cls.__own_fields__}
    values = {**_fields(event), "payload": extras, **changes}
    changed = cls.model_validate(values, by_alias=True, by_name=True)
    object.__setattr__(changed, "__pydantic_fields_set__", event.model_fields_set | (changes.keys() & names.keys()))
    origin = origin_of(event)
    if origin.causation_id or origin.correlation_id:
        set_origin(changed, replace(origin, payload=None, is_foreign=False))
    return changed


def _class_of(event: DomainEvent) -> type[BaseModel]:
    return event.__pydantic_generic_metadata__["origin"] or type(event)


def _fields(event: DomainEvent) -> dict[str, Any]:
    values = event.__dict__
    return {name: values[name] for name in event.__pydantic_fields__ if name in values}
