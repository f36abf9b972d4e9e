"""Processes and the server are killed at named points and at random moments: the short form of `make proof`.

Whether a process reaches its point is a matter of chance here; `make proof` checks that each point is reached.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import pytest

from tests.proof import plans, table, verdict
from tests.proof.__main__ import run

SEED: Final = 20_26
ROUNDS: Final = plans.short(SEED)


@pytest.mark.parametrize("number", range(len(ROUNDS)))
def test_no_event_is_lost_by_a_kill_at_any_point(tmp_path: Path, number: int) -> None:
    results = asyncio.run(run([ROUNDS[number]], tmp_path))

    assert not [str(finding) for result in results for finding in result.findings]
    assert table.total(table.rows(results)).kills > ROUNDS[number].kills / 2


def test_a_loss_without_the_journal_is_detected(tmp_path: Path) -> None:
    """A server may have written its journal just before it is killed, so there are several rounds of several kills."""
    assert any(_loses(seed, tmp_path / f"{seed}") for seed in range(SEED, SEED + 5))


def _loses(seed: int, directory: Path) -> bool:
    (result,) = asyncio.run(run([plans.weak(seed)], directory))
    return bool({finding.rule for finding in result.findings} & verdict.LOST)
