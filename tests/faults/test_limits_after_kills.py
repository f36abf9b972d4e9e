"""What a dry run says and what a limited run claims after workers were killed with SIGKILL."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from tests.faults.site import MODULE, Site, ended
from tests.support.conditions import until

NUMBER: Final = 4


def redispatched(site: Site, *options: str) -> dict[str, Any]:
    """Run the command to its end, and return its summary."""
    command = ("redispatch", "-m", MODULE, "--lease", "1", "-o", "json", "--now", *options)
    code, out, err = ended(site.python("-m", "craft_events_cli", *command))
    assert code == 0, err
    summary: dict[str, Any] = json.loads(out)
    return summary


@pytest.mark.parametrize("kills", [1, 3])
def test_a_limited_run_claims_one_record_of_the_dead_and_the_dry_run_counts_all(site: Site, kills: int) -> None:
    """After three kills the records are suspects, which run alone: only the first of them has begun at the third."""
    events = site.fill("patient.made", NUMBER)
    begun = 0
    for kill in range(kills):
        worker = site.redispatch(lease=1)
        begun += NUMBER if kill < 2 else 1
        site.until_in_ledger("waits", begun, seconds=60)
        worker.kill()
        worker.wait()
    assert [one["takeovers"] for one in map(site.delivery, events)] == [kills - 1] * NUMBER
    until(lambda: redispatched(site, "--dry-run")["events"] == NUMBER, seconds=30)
    site.go.touch()
    assert redispatched(site, "--dry-run", "--limit", "1")["events"] == 1
    summary = redispatched(site, "--limit", "1")
    assert (summary["events"], summary["claimed"], summary["done"]) == (1, 1, 1)
    assert redispatched(site, "--dry-run")["events"] == NUMBER - 1
    assert redispatched(site)["events"] == NUMBER - 1
    assert {site.delivery(event)["state"] for event in events} == {"done"}
