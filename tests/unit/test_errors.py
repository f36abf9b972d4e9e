"""Every exception of the library survives pickling, as in a process pool, with its text and its attributes."""

from __future__ import annotations

import pickle
from datetime import timedelta

import pytest

from craft_easy.core.events import errors
from craft_easy.core.events.errors import EventsError
from craft_easy.core.events.model.retry import Discard, Retry

EXAMPLES: list[Exception] = [
    errors.InvalidEvent("payload.a", "a secret"),
    errors.EventConflict("e"),
    errors.InvalidSetting("uri", "is empty", origin="CRAFT_EVENTS_URI", hint="set it"),
    errors.DeliveryOver("e:h"),
    errors.NoDelivery(),
    errors.AmbiguousEventId("019abf3e", ["019abf3e-1", "019abf3e-2"], has_more=False),
    errors.HandlerNotInLog("hooks:notify_slak", ["hooks:notify_slack"]),
    errors.LogNotFound("collection event_logg in shop", ["event_log"], hint="--collection names it"),
    errors.HandlerModuleError("shop", "does not exist", hint="--app-dir"),
    errors.HandlerNotFound("shop:send", ["shop:mail"]),
    *(
        error_class("text", hint="try again")
        for error_class in (
            errors.EventsError,
            errors.StoreError,
            errors.StoreUnavailable,
            errors.CommitUnknown,
            errors.StoreLoginRefused,
            errors.RecordRefused,
            errors.TransactionsMissing,
            errors.WrongDeployment,
            errors.EmbeddedLogError,
            errors.ArchiveError,
            errors.CheckpointError,
        )
    ),
    Retry(),
    Retry(5),
    Retry(timedelta(minutes=1)),
    Discard("no such order"),
]


def test_every_error_has_an_example() -> None:
    defined = {one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, EventsError)}
    assert defined <= {type(example) for example in EXAMPLES}


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_survives_pickling(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))

    assert type(again) is type(error)
    assert str(again) == str(error)
    assert again.args == error.args
    assert vars(again) == vars(error)
