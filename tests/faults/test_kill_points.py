"""Processes and the server are killed at named points and at random moments: the short form of `make proof`.

Whether a process comes to its point is a matter of luck here; that somebody comes to each is for `make proof` to show.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from tests.proof import plans, table, verdict
from tests.proof.__main__ import run

SEED: Final = 20_26
KILLS: Final = 25


def test_nothing_is_lost_whoever_is_killed_at_whichever_point(tmp_path: Path) -> None:
    results = asyncio.run(run(plans.short(SEED), tmp_path))

    assert not [str(finding) for result in results for finding in result.findings]
    assert table.total(table.rows(results)).kills >= KILLS


def test_what_a_server_loses_without_its_journal_is_seen(tmp_path: Path) -> None:
    (result,) = asyncio.run(run([plans.weak(SEED)], tmp_path))

    assert {finding.rule for finding in result.findings} & verdict.LOST
