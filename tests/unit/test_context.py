import pickle
from datetime import timedelta

import pytest

from craft_easy.core.events.errors import EventsError, NoDelivery
from craft_easy.core.events.handlers.context import CurrentDelivery, current_delivery
from craft_easy.core.events.model.retry import Discard, Retry
from craft_easy.core.events.types import DomainEvent


def test_outside_a_delivery_there_is_none() -> None:
    with pytest.raises(NoDelivery) as caught:
        current_delivery()
    assert isinstance(caught.value, EventsError)
    assert isinstance(caught.value, LookupError)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_the_idempotency_key_differs_between_events_and_handlers_and_not_between_attempts() -> None:
    event, other = DomainEvent(event_type="a"), DomainEvent(event_type="a")
    key = CurrentDelivery(event, "shop:charge", 1).idempotency_key

    assert CurrentDelivery(event, "shop:charge", 2).idempotency_key == key
    assert CurrentDelivery(event, "shop:mail").idempotency_key != key
    assert CurrentDelivery(other, "shop:charge").idempotency_key != key


@pytest.mark.parametrize(
    ("after", "wait"), [(None, None), (2.5, timedelta(seconds=2.5)), (timedelta(hours=1), timedelta(hours=1))]
)
def test_a_retry_may_name_its_wait(after: float | timedelta | None, wait: timedelta | None) -> None:
    assert Retry(after=after).after == wait
    assert "retry" in str(Retry(after))


@pytest.mark.parametrize("after", [-1, timedelta(seconds=-1), float("nan"), float("inf")])
def test_a_retry_whose_wait_is_negative_or_endless_is_refused(after: float | timedelta) -> None:
    with pytest.raises(ValueError, match="the wait must"):
        Retry(after=after)


def test_a_discard_keeps_its_reason() -> None:
    assert Discard("the account is gone").reason == "the account is gone"
