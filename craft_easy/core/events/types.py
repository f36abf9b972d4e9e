"""The events that Craft Easy itself publishes, and `DomainEvent`, from which all events derive."""

from typing import Any

from craft_easy.core.events.model.event import DomainEvent

__all__ = [
    "DomainEvent",
    "PaymentCompleted",
    "ResourceCreated",
    "ResourceDeleted",
    "ResourceUpdated",
    "UserRegistered",
]


class ResourceCreated(DomainEvent):
    """A resource was created."""

    event_type: str = "resource.created"
    resource: str
    item_id: str


class ResourceUpdated(DomainEvent):
    """A resource was changed; `changes` holds the changed fields."""

    event_type: str = "resource.updated"
    resource: str
    item_id: str
    changes: dict[str, Any]


class ResourceDeleted(DomainEvent):
    """A resource was deleted."""

    event_type: str = "resource.deleted"
    resource: str
    item_id: str


class PaymentCompleted(DomainEvent):
    """A payment went through; `amount` is in units of `currency`."""

    event_type: str = "payment.completed"
    payment_id: str
    amount: float
    currency: str


class UserRegistered(DomainEvent):
    """A user registered an account."""

    event_type: str = "user.registered"
    user_id: str
    email: str
