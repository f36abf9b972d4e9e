"""Whether a worker is alive, for a probe that restarts one that is not.

An outage of the database does not fail it: a restart would not end it, and would add a start of every worker to it. So
the lease counts as lost only if it could have been renewed.
"""

from __future__ import annotations

from dataclasses import dataclass

from craft_events_cli.metrics.server import Health
from craft_events_cli.output.spans import elapsed_text


@dataclass(frozen=True, slots=True)
class VitalSigns:
    """What is known of a worker at one moment; times are in seconds.

    Args:
        loop_age: since the event loop last ran a beat of its own.
        hang_limit: for which handlers may keep the loop from answering.
        lease: its length.
        heartbeat_age: since the last accepted heartbeat; None before the first.
        has_lease: whether it may start handlers.
        answered_for: for which the log has answered each look, up to the last answer.
        answered_ago: since that answer.
    """

    loop_age: float
    hang_limit: float
    lease: float
    heartbeat_age: float | None
    has_lease: bool
    answered_for: float
    answered_ago: float


def judge(signs: VitalSigns) -> Health:
    """Return whether a worker is alive."""
    if signs.loop_age > signs.hang_limit:
        return Health(is_well=False, text=f"the event loop has not answered for {elapsed_text(signs.loop_age)}")
    if signs.has_lease:
        return Health(is_well=True, text="ok")
    if signs.heartbeat_age is None:
        return Health(is_well=True, text="ok: the log has not been reached yet")
    lost = signs.heartbeat_age - signs.lease
    if min(signs.answered_for, lost - signs.answered_ago) > signs.lease:
        return Health(is_well=False, text=f"the lease was lost {elapsed_text(lost)} ago, and the log answers")
    return Health(is_well=True, text="ok: the lease is not held, and waits for the log")
