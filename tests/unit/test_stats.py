"""The queries for figures: the index of each, the fields that leave the server, and the reading of an answer."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest

from craft_easy.core.events.model.figures import Bars
from craft_easy.core.events.model.selection import Selection
from craft_easy.core.events.store import indexes
from craft_easy.core.events.store.indexes import INDEXES
from craft_easy.core.events.store.queries import stats as stats_queries
from craft_easy.core.events.store.queries.stats import (
    By,
    Measure,
    Question,
    dead_stages,
    duration_stages,
    open_stages,
    slice_stages,
)

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
BARS = Bars(NOW - timedelta(hours=3), NOW, timedelta(hours=1))
PARTIAL = {one.document["name"]: one.document.get("partialFilterExpression") for one in INDEXES}
BYS: tuple[By, ...] = get_args(By)


def question(by: By = "handler", **selected: Any) -> Question:
    return Question(Selection(**selected), by, BARS, NOW)


@pytest.mark.parametrize("by", BYS)
@pytest.mark.parametrize(
    "selected",
    [{}, {"tenants": ("acme",)}, {"no_tenant": True}, {"types": ("order.*",)}, {"since": NOW, "limit": 3}],
    ids=str,
)
def test_the_backlog_query_uses_the_partial_indexes(by: By, selected: dict[str, Any]) -> None:
    for stages, of_index in ((open_stages, stats_queries.OPEN), (dead_stages, stats_queries.DEAD)):
        first = stages(question(by, **selected))[0]
        condition = first["$match"]
        assert next(iter(condition)) == next(iter(of_index))
        assert condition.items() >= of_index.items()
        assert "timestamp" not in condition
    assert PARTIAL[indexes.OPEN_INDEX] == stats_queries.OPEN
    assert PARTIAL[indexes.DEAD_INDEX] == stats_queries.DEAD


@pytest.mark.parametrize("by", BYS)
def test_no_question_touches_a_payload_or_the_text_of_an_error(by: By) -> None:
    for stages in (open_stages(question(by)), dead_stages(question(by)), slice_stages(question(by), NOW, NOW)):
        assert list(stages[1]) == ["$project"]
        assert stages[1]["$project"]["_id"] == 0
        said = json.dumps(stages, default=str)
        assert "payload" not in said
        assert "message" not in said
        assert "$$NOW" not in said


def test_durations_are_those_of_a_bounded_number_of_events() -> None:
    operators: dict[Measure, str] = {"median": "$percentile", "mean": "$avg"}
    for measure, operator in operators.items():
        stages = duration_stages(question(), measure)
        assert {"$limit": stats_queries.NEWEST} in stages
        assert operator in json.dumps(stages, default=str)
        assert "payload" not in json.dumps(stages, default=str)
