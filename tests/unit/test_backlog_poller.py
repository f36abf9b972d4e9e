"""The backlog as Prometheus reads it: names, labels, and what an outage leaves out."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from craft_easy.core.events.operations.backlog import BacklogGauges, HandlerGauges
from craft_events_cli.metrics.gauges import MAX_HANDLERS, OTHER, HandlerLabels
from craft_events_cli.metrics.polling import BacklogPoller
from tests.support.history import HOSTILE

AT = datetime(2026, 1, 31, tzinfo=UTC)
FOUND = BacklogGauges(
    at=AT,
    open=5,
    owned=1,
    waiting=2,
    dead=3,
    oldest_s=12.5,
    longest_due_s=4.0,
    handlers={"shop:mail": HandlerGauges(open=4, owned=1, waiting=1, dead=3, is_paused=True)},
    workers={"alive": 2, "silent": 1, "fenced": 0, "gone": 0},
)


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def noted() -> list[str]:
    return []


@pytest.fixture
def poller(clock: Clock, noted: list[str]) -> BacklogPoller:
    return BacklogPoller(10, noted.append, ("shop", "event_log"), clock)


def scraped(poller: BacklogPoller) -> dict[str, float]:
    """Return the samples of a scrape by name and labels."""
    registry = CollectorRegistry()
    registry.register(poller)
    text = generate_latest(registry).decode()
    return {
        f"{sample.name}{{{','.join(sample.labels.values())}}}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_scrape_returns_the_last_answer_with_its_age(poller: BacklogPoller, clock: Clock) -> None:
    poller.answered(FOUND, 0.25)
    clock.now += 7
    found = scraped(poller)
    assert (
        found.items()
        >= {
            "craft_events_up{}": 1,
            "craft_events_data_age_seconds{}": 7,
            "craft_events_poll_duration_seconds{}": 0.25,
            "craft_events_open_events{}": 5,
            "craft_events_owned_events{}": 1,
            "craft_events_waiting_events{}": 2,
            "craft_events_due_events{}": 2,
            "craft_events_oldest_open_age_seconds{}": 12.5,
            "craft_events_longest_due_seconds{}": 4,
            "craft_events_backlog_capped{}": 0,
            "craft_events_workers{alive}": 2,
            "craft_events_workers{silent}": 1,
            "craft_events_open_deliveries{shop:mail}": 4,
            "craft_events_owned_deliveries{shop:mail}": 1,
            "craft_events_waiting_deliveries{shop:mail}": 1,
            "craft_events_due_deliveries{shop:mail}": 2,
            "craft_events_dead_deliveries{shop:mail}": 3,
            "craft_events_handler_paused{shop:mail}": 1,
            "craft_events_polls_total{answered}": 1,
            "craft_events_polls_total{failed}": 0,
        }.items()
    )
    assert poller.health().is_well


def test_before_the_first_answer_nothing_is_claimed(poller: BacklogPoller) -> None:
    found = scraped(poller)
    assert found["craft_events_up{}"] == 0
    assert not any("events_open" in name or "age" in name or "workers" in name for name in found)
    assert not poller.health().is_well


def test_an_outage_leaves_out_the_numbers_and_keeps_their_age(
    poller: BacklogPoller, clock: Clock, noted: list[str]
) -> None:
    poller.answered(FOUND, 0.1)
    clock.now += 10
    for _ in range(3):
        poller.failed("db-1:27017 cannot be reached", "no answer (db-1:27017 cannot be reached)")
        clock.now += 10
    found = scraped(poller)
    assert (found["craft_events_up{}"], found["craft_events_data_age_seconds{}"]) == (0, 40)
    assert found["craft_events_polls_total{failed}"] == 3
    assert not any(re.search("deliveries|open_events|workers|oldest", name) for name in found)
    health = poller.health()
    assert (health.is_well, health.text) == (False, "the last answer is 40.0 s old: db-1:27017 cannot be reached")

    poller.answered(FOUND, 0.1)
    assert scraped(poller)["craft_events_open_events{}"] == 5
    assert poller.health().is_well
    assert noted == ["no answer (db-1:27017 cannot be reached)", "resumed after 30.0 s"]


def test_a_handler_whose_backlog_is_gone_stays_with_zeros(poller: BacklogPoller) -> None:
    poller.answered(FOUND, 0.1)
    scraped(poller)
    poller.answered(BacklogGauges(at=AT), 0.1)
    found = scraped(poller)
    assert found["craft_events_dead_deliveries{shop:mail}"] == 0
    assert found["craft_events_open_deliveries{shop:mail}"] == 0


def test_handlers_past_the_bound_are_one_series(poller: BacklogPoller) -> None:
    handlers = {f"shop:h{number}": HandlerGauges(open=1) for number in range(MAX_HANDLERS + 30)}
    poller.answered(BacklogGauges(at=AT, handlers=handlers), 0.1)
    found = {name: value for name, value in scraped(poller).items() if "open_deliveries" in name}
    assert len(found) == MAX_HANDLERS + 1
    assert found[f"craft_events_open_deliveries{{{OTHER}}}"] == 30
    assert sum(found.values()) == MAX_HANDLERS + 30


def test_a_handler_keeps_its_label() -> None:
    labels = HandlerLabels(limit=1)
    assert [labels.of(name) for name in ("a", "b", "a", "c")] == ["a", OTHER, "a", OTHER]


def test_no_raw_character_of_the_log_is_in_a_label(poller: BacklogPoller) -> None:
    poller.answered(BacklogGauges(at=AT, handlers={HOSTILE: HandlerGauges(open=1)}), 0.1)
    registry = CollectorRegistry()
    registry.register(poller)
    assert generate_latest(registry).decode().replace("\n", "").isprintable()


def test_no_label_has_an_unbounded_number_of_values(poller: BacklogPoller) -> None:
    poller.answered(FOUND, 0.1)
    labels: set[Any] = {name for family in poller.collect() for sample in family.samples for name in sample.labels}
    assert labels == {"handler", "state", "outcome", "version", "database", "collection"}
