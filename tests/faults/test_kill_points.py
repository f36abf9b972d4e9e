"""Processes and the server are killed at every named point and at random moments: the short form of `make proof`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from tests.proof import plans, table, verdict
from tests.proof.__main__ import prove, run
from tests.support import kill

SEED: Final = 20_26
KILLS: Final = 25


def test_nothing_is_lost_whoever_is_killed_at_whichever_point(tmp_path: Path) -> None:
    results = asyncio.run(prove(plans.short(SEED), tmp_path))
    made = table.rows(results)

    assert not [str(finding) for result in results for finding in result.findings]
    assert not [point for point in kill.POINTS if not made[point].kills], "nobody came there"
    assert table.total(made).kills >= KILLS


def test_what_a_server_loses_without_its_journal_is_seen(tmp_path: Path) -> None:
    (result,) = asyncio.run(run([plans.weak(SEED)], tmp_path))

    assert {finding.rule for finding in result.findings} & verdict.LOST
