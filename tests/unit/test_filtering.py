"""The filter of a view, as it is typed."""

from __future__ import annotations

import pytest

from craft_easy.core.events.model.selection import Selection
from craft_events_cli.top.filtering import EventFilter
from tests.support.history import record


def test_names_select_by_fields_and_other_words_are_texts() -> None:
    found = EventFilter.read("tenant:acme type:order.* tenant:globex state:dead p_1 http://x")
    assert found.chosen == Selection(tenants=("acme", "globex"), types=("order.*",), states=("dead",))
    assert found.texts == ("p_1", "http://x")


def test_each_text_must_be_in_an_event() -> None:
    only = EventFilter.read("p_1 user_77").only
    assert only is not None
    assert only(record(1), None)
    assert not only(record(2), None)
    assert EventFilter.read("tenant:acme").only is None


def test_a_filter_narrows_what_the_options_select_and_its_own_fields_win() -> None:
    base = Selection(tenants=("acme",), types=("order.*",))
    assert EventFilter.read("tenant:globex").within(base) == Selection(tenants=("globex",), types=("order.*",))


def test_a_state_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="gone"):
        EventFilter.read("state:gone")
