"""The selection that every command shares."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from craft_easy.core.events.model.selection import NO_TENANT, Selection, up_to_millisecond

MOMENT = datetime(2026, 1, 31, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"limit": 0}, "at least 1"),
        ({"limit": -1}, "at least 1"),
        ({"types": ("a", "")}, "must not be empty"),
        ({"except_types": ("",)}, "must not be empty"),
        ({"states": ("closed",)}, "state 'closed' does not exist"),
        ({"since": datetime(2026, 1, 31)}, "since must have a time zone"),  # noqa: DTZ001
        ({"until": datetime(2026, 1, 31)}, "until must have a time zone"),  # noqa: DTZ001
    ],
)
def test_a_selection_that_can_match_nothing_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Selection(**arguments)


def test_the_arguments_of_replay_mean_a_selection() -> None:
    assert Selection.of(tenant_id="a", event_type="x.*", limit=5) == Selection(tenants=("a",), types=("x.*",), limit=5)
    assert Selection.of() == Selection()
    assert Selection.of(tenant_id=NO_TENANT) == Selection(no_tenant=True)
    assert repr(NO_TENANT) == "NO_TENANT"


def test_a_window_without_a_millisecond_is_empty() -> None:
    soon = MOMENT + timedelta(microseconds=1)
    assert Selection(since=MOMENT, until=MOMENT).is_empty
    assert Selection(since=soon, until=MOMENT + timedelta(microseconds=900)).is_empty
    assert not Selection(since=MOMENT, until=soon).is_empty
    assert not Selection(since=MOMENT).is_empty
    assert up_to_millisecond(soon) == MOMENT + timedelta(milliseconds=1)


def test_a_selection_can_lose_its_limit() -> None:
    assert Selection(limit=3, reverse=True).without_limit() == Selection(reverse=True)
