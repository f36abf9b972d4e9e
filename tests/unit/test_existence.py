"""A command without an end waits for its log, and for the log's server."""

from __future__ import annotations

from typing import Any, cast

import pytest

from craft_easy.core.events.errors import LogNotFound, StoreLoginRefused, StoreUnavailable
from craft_easy.core.events.store import existence

ELECTION = StoreUnavailable("db:27017: servers answer, and none of them is the primary")
MISSING = LogNotFound("collection event_logg in craft_easy", ["event_log"])


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[Exception | None]:
    """The answers to the question whether the log exists; the test fills it."""
    answers: list[Exception | None] = []

    async def require(_: object) -> None:
        if (error := answers.pop(0)) is not None:
            raise error

    monkeypatch.setattr(existence, "require", require)
    monkeypatch.setattr(existence, "POLL_S", 0)
    return answers


async def test_a_watch_that_starts_during_an_election_waits_and_reports_it_once(
    answers: list[Exception | None],
) -> None:
    reported: list[Exception] = []
    answers += [ELECTION, ELECTION, MISSING, ELECTION, MISSING, None]
    await existence.wait(cast("Any", None), reported.append)
    assert (reported, answers) == ([ELECTION, MISSING], [])


async def test_a_refused_login_ends_the_wait(answers: list[Exception | None]) -> None:
    answers += [ELECTION, StoreLoginRefused("db:27017: no")]
    with pytest.raises(StoreLoginRefused):
        await existence.wait(cast("Any", None), lambda _: None)
