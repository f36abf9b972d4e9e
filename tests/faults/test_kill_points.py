"""Processes and the server are killed at named points and at random moments: the short form of `make proof`.

Whether a process reaches its point is a matter of chance here; `make proof` checks that each point is reached.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from tests.proof import plans, table, verdict
from tests.proof.__main__ import run

SEED: Final = 20_26
KILLS: Final = 25


def test_no_event_is_lost_by_a_kill_at_any_point(tmp_path: Path) -> None:
    results = asyncio.run(run(plans.short(SEED), tmp_path))

    assert not [str(finding) for result in results for finding in result.findings]
    assert table.total(table.rows(results)).kills >= KILLS


def test_a_loss_without_the_journal_is_detected(tmp_path: Path) -> None:
    (result,) = asyncio.run(run([plans.weak(SEED)], tmp_path))

    assert {finding.rule for finding in result.findings} & verdict.LOST
