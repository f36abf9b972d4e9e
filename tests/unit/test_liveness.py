"""When a probe restarts a worker: its loop hangs or its lease is lost; never for an outage of the database."""

from dataclasses import replace

import pytest

from craft_events_cli.metrics.liveness import VitalSigns, judge

WELL = VitalSigns(
    loop_age=0.4, hang_limit=900, lease=30, heartbeat_age=9, has_lease=True, answered_for=600, answered_ago=1
)
LOST = replace(WELL, heartbeat_age=62, has_lease=False)


@pytest.mark.parametrize(
    "signs",
    [
        WELL,
        replace(WELL, loop_age=899),
        replace(WELL, heartbeat_age=None, has_lease=False, answered_for=0),
        replace(LOST, heartbeat_age=59),
        replace(LOST, heartbeat_age=10_000, answered_for=0),
        replace(LOST, heartbeat_age=10_000, answered_for=29),
        replace(LOST, heartbeat_age=95, answered_ago=94),
    ],
    ids=[
        "well",
        "a loop blocked within a limit",
        "no log yet",
        "just lost",
        "outage",
        "outage over",
        "a look waits",
    ],
)
def test_a_worker_that_can_go_on_is_alive(signs: VitalSigns) -> None:
    assert judge(signs).is_well


def test_a_loop_that_hangs_is_not_alive_although_the_lease_is_held() -> None:
    found = judge(replace(WELL, loop_age=901))
    assert (found.is_well, found.text) == (False, "the event loop has not answered for 15 min 1 s")


def test_a_lease_that_is_lost_while_the_log_answers_is_not_alive() -> None:
    found = judge(LOST)
    assert (found.is_well, found.text) == (False, "the lease was lost 32.0 s ago, and the log answers")
