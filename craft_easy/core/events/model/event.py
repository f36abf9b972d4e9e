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
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, Unpack

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError, PydanticUndefined
from uuid_utils import uuid7

from craft_easy.core.events.clock import now
from craft_easy.core.events.model import event_class
from craft_easy.core.events.model.envelope import (
    ENVELOPE,
    Envelope,
    cut_to_milliseconds,
    read_envelope,
    read_trace_context,
)


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of an event, which is not part of its fields, dumps and comparisons.

    Args:
        is_stored: the event was read from the log, so that its payload is the stored form already.
        causation_id: the id of the event in whose handler this one was published.
        correlation_id: the id of the first event of that chain.
        trace_context: the trace that it was published in; see `with_trace_context`.
    """

    is_stored: bool = False
    causation_id: str | None = None
    correlation_id: str | None = None
    trace_context: Mapping[str, str] | None = None


_MADE_HERE: Final = Origin()
_ENVELOPE: Final = set(ENVELOPE)
_OF_ORIGIN: Final = ("causation_id", "correlation_id", "trace_context")


def new_event_id() -> str:
    """Return a new UUID of version 7 (RFC 9562), which sorts by the millisecond of its creation."""
    return str(uuid7())


class DomainEvent(BaseModel):
    """An immutable fact, named in the past tense.

    A subclass sets `event_type` and declares fields of its own. They are in the payload, too, where a field overrides a
    key of the same name. An argument that is not a field and a naive `timestamp` raise a `ValidationError`. Handlers
    share one payload and must not change it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True)

    __event_type__: ClassVar[str | None] = None
    """The event type of every instance, if the class has one."""
    __states_type__: ClassVar[bool] = False
    """True if the class body itself declares that type."""
    __own_fields__: ClassVar[tuple[str, ...]] = ()
    """The names of the fields that `DomainEvent` lacks, in the order of their declaration."""

    event_id: str = Field(default_factory=new_event_id, min_length=1)
    event_type: str
    timestamp: datetime = Field(default_factory=now)
    tenant_id: str | None = None
    actor_id: str | None = None
    payload: dict[str, Any] = Field(default_factory=dict)

    _origin: ClassVar[Origin] = _MADE_HERE
    """The default; an instance with another origin has it in its `__dict__`, like a cached property."""

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

    @model_validator(mode="after")
    def _check_event(self) -> Self:
        _fold_fields(self)
        return self

    def __init_subclass__(cls, **kwargs: Unpack[ConfigDict]) -> None:
        super().__init_subclass__(**kwargs)
        # the body must be read here: right after this Pydantic removes the defaults from the class
        stated = cls.__dict__.get("event_type")
        cls.__states_type__ = stated is not None
        if isinstance(stated, str):
            cls.event_type = str.__str__(stated)  # plain text: a member of an Enum may print as its name

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        _check_declaration(cls)
        cls.__event_type__ = _type_of(cls)
        cls.__own_fields__ = tuple(name for name in cls.__pydantic_fields__ if name not in _ENVELOPE)
        if cls.__states_type__ and cls.__event_type__ is not None:
            event_class.register(cls, cls.__event_type__)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "DomainEvent":
        """Return the event of a decoded record, as an instance of the class that claims its type.

        For an unknown type, or a payload that no longer fits its class, it is a plain `DomainEvent`. Either way
        `payload` is the stored one. Never raises, even for a malformed record.
        """
        envelope = read_envelope(record)
        event = _typed(envelope) or _plain(envelope)
        object.__setattr__(event, "payload", dict(envelope.payload))
        origin = Origin(
            is_stored=True,
            causation_id=envelope.causation_id,
            correlation_id=envelope.correlation_id,
            trace_context=envelope.trace_context,
        )
        _set_origin(event, origin)
        return event

    @classmethod
    def model_construct(cls, _fields_set: set[str] | None = None, **values: Any) -> Self:
        """Return an event of values that are known to be valid, without checks; its fields are in its payload."""
        event = super().model_construct(_fields_set, **values)
        _fold_fields(event)
        return event

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy whose changed fields are also in its payload; as always in Pydantic they are not validated."""
        copy = super().model_copy(update=update, deep=deep)
        if update:
            _fold_fields(copy)
            _set_origin(copy, replace(origin_of(self), is_stored=False))
        return copy

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DomainEvent):
            return NotImplemented
        return _class_of(type(self)) is _class_of(type(other)) and _facts(self) == _facts(other)

    def __hash__(self) -> int:
        return hash(self.event_id)

    if TYPE_CHECKING:

        @property
        def causation_id(self) -> str | None:
            """The id of the event in whose handler this one was published."""

        @property
        def correlation_id(self) -> str | None:
            """The id of the first event of that chain."""

        @property
        def trace_context(self) -> Mapping[str, str] | None:
            """The trace that it was published in, `{traceparent, tracestate}`; see `with_trace_context`."""

    else:  # `__getattr__` leaves these names free for fields of users

        def __getattr__(self, name: str) -> Any:
            if name in _OF_ORIGIN:
                return getattr(origin_of(self), name)
            return super().__getattr__(name)


def stored_payload(event: DomainEvent) -> dict[str, Any]:
    """Return the payload to store, print and compare; the stored one if the event was read from the log.

    Otherwise it holds the event's own fields, as their serializers write them, and the other keys of its payload. An
    error of a serializer is raised.
    """
    own, payload = event.__own_fields__, event.payload
    if origin_of(event).is_stored or not own:
        return payload
    dumped = event.model_dump(exclude=_ENVELOPE, by_alias=False, round_trip=True, warnings=False)
    fields = {name: dumped[name] for name in own if name in dumped}
    return fields | {key: value for key, value in payload.items() if key not in own}


def origin_of(event: DomainEvent) -> Origin:
    """Return the origin of an event."""
    return event._origin  # noqa: SLF001  # private, so that it cannot conflict with users' fields


def _set_origin(event: DomainEvent, origin: Origin) -> None:
    object.__setattr__(event, "_origin", origin)


def caused_event(
    event: DomainEvent, *, causation_id: str, correlation_id: str, event_id: str | None = None
) -> DomainEvent:
    """Return a copy of an event with its cause.

    Args:
        event: the event, which stays as it is.
        causation_id: the id of the event in whose handler it was published.
        correlation_id: the id of the first event of that chain.
        event_id: the id of the copy; None keeps that of the event.
    """
    copy = BaseModel.model_copy(event, update={} if event_id is None else {"event_id": event_id})
    origin = replace(origin_of(event), causation_id=causation_id, correlation_id=correlation_id)
    _set_origin(copy, origin)
    return copy


def with_trace_context(event: DomainEvent, trace_context: Mapping[str, str]) -> DomainEvent:
    """Return a copy of an event that is published with a trace context, for the `publish` of a middleware.

    The record keeps it as `trace_context`, beside the event's own fields, and `event.trace_context` gives it back at
    any later time and in any process. It is not part of the event's content, dumps and comparisons.

    Args:
        event: the event, which stays as it is.
        trace_context: `{"traceparent": …, "tracestate": …}`, as the headers of W3C Trace Context have them.

    Raises:
        TypeError: it is not a mapping of texts.
    """
    known = read_trace_context(trace_context)
    if known is None:
        raise TypeError(f'a trace context is a mapping of texts: {{"traceparent": "00-…"}}, not {trace_context!r}')
    copy = BaseModel.model_copy(event)
    _set_origin(copy, replace(origin_of(event), trace_context=known))
    return copy


def _fold_fields(event: DomainEvent) -> None:
    """Set the payload of an event to its own fields and the other keys of its former payload."""
    values = event.__dict__
    if own := {name: values[name] for name in event.__own_fields__ if name in values}:
        payload = values["payload"]
        object.__setattr__(event, "payload", {**own, **payload, **own} if payload else own)


def _check_declaration(cls: type[DomainEvent]) -> None:
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
    try:
        return _validated(envelope)
    except Exception:  # noqa: BLE001  # users' validators may raise anything, and no event may be lost for it
        return None


def _validated(envelope: Envelope) -> DomainEvent | None:
    """Return the event as its class reads it, None if no class claims its type; errors of validators are raised."""
    cls = event_class.class_of(envelope.event_type)
    if cls is None or not issubclass(cls, DomainEvent):
        return None
    payload = dict(envelope.payload)
    values = {name: payload.pop(name) for name in cls.__own_fields__ if name in payload}
    values |= {**_fields_of(envelope), "payload": payload}
    event = cls.model_validate(values, strict=False, by_alias=True, by_name=True)
    if not isinstance(event, DomainEvent):
        raise TypeError(f"a validator of {class_name(cls)} returns {type(event).__name__} and not an event")
    return event


def refusal(record: Mapping[str, Any]) -> Exception | None:
    """Return the error with which the class of a record's type refuses it, so that `from_record` returns a plain event.

    None if the class reads it, or no class claims the type.
    """
    try:
        _validated(read_envelope(record))
    except Exception as error:  # noqa: BLE001  # of any kind, as in `_typed`
        return error
    return None


def _plain(envelope: Envelope) -> DomainEvent:
    return DomainEvent.model_construct(**_fields_of(envelope), payload={})


def _fields_of(envelope: Envelope) -> dict[str, Any]:
    return {
        "event_id": envelope.event_id,
        "event_type": envelope.event_type,
        "timestamp": envelope.timestamp,
        "tenant_id": envelope.tenant_id,
        "actor_id": envelope.actor_id,
    }


def class_name(cls: type[DomainEvent]) -> str:
    """Return the qualified name of an event class, without the parameters of a generic one."""
    return event_class.name_of(_class_of(cls))


def _class_of(cls: type[DomainEvent]) -> type[BaseModel]:
    return cls.__pydantic_generic_metadata__["origin"] or cls


def _facts(event: DomainEvent) -> dict[str, Any]:
    """Return the fields of an event, without cached properties; its payload without the fields that it repeats."""
    values = {name: value for name, value in event.__dict__.items() if name in event.__pydantic_fields__}
    payload = values.get("payload") or {}
    return {**values, "payload": {key: value for key, value in payload.items() if key not in event.__own_fields__}}
