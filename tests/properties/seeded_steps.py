"""For each seeded bug the steps that reveal it, found by the search and minimised.

After a change of the model a bug may need other steps; this searches for them, and prints the result:
`pytest -m proof -s tests/properties/test_delivery_model.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

from craft_easy.core.events.model.retry import OutcomeKind
from tests.properties.delivery_model import DeliveryMachine
from tests.properties.delivery_state import NothingThere
from tests.properties.network import Course, Fate

Step = tuple[str, dict[str, Any]]
"""A rule of the model, and its arguments."""


def step(rule: str, **given: Any) -> Step:
    return rule, given


def take(steps: Iterable[Step], machine: DeliveryMachine) -> None:
    """Take these steps and finish; a step that has nothing to act on is skipped."""
    try:
        for rule, given in steps:
            with suppress(NothingThere):
                getattr(machine, rule)(**given)
    finally:
        machine.teardown()


STEPS: Final[dict[str, list[Step]]] = {
    "no fencing": [
        step("two_processes_start", kinds=["plain"]),
        step("a_process_is_suspended", number=0, beats=False, ending=OutcomeKind.FAILED, others="fail later", runs=1),
    ],
    "no take-over": [
        step("two_processes_start", kinds=["plain"]),
    ],
    "staleness counted from the publish": [
        step("two_processes_start", kinds=["plain"]),
        step("a_process_is_suspended", number=0, beats=False, ending=OutcomeKind.FAILED, others="fail later", runs=1),
    ],
    "a take-over that frees only the newly fenced": [
        step("two_processes_start", kinds=["plain"]),
        step("publish", number=0, course=Course(0), is_new=True, kind="plain"),
        step("a_process_is", number=0, mishap="killed and taken over"),
    ],
    "a beat revives": [
        step("two_processes_start", kinds=["plain"]),
        step("a_process_is", number=1, mishap="cut off or back"),
        step("a_process_is", number=3, mishap="cut off or back"),
        step("a_process_is_suspended", number=0, beats=True, ending=OutcomeKind.SUCCEEDED, others="fail later", runs=1),
    ],
    "no attempt cap": [
        step("two_processes_start", kinds=["plain"]),
        step("end", number=0, kind=OutcomeKind.GIVEN_BACK, runs=1, then="it is written"),
        step("end", number=0, kind=OutcomeKind.RETRY, runs=1, then="it is written"),
    ],
    "a failure without its attempt": [
        step("two_processes_start", kinds=["plain"]),
        step(
            "take_a_turn",
            number=0,
            kind=OutcomeKind.FAILED,
            runs=1,
            then="its reply is lost, an operator discards, it writes again",
        ),
    ],
    "a failure overwrites a success": [
        step("two_processes_start", kinds=["plain"]),
        step("an_operator_discards", number=0, course=Course()),
        step("end", number=0, kind=OutcomeKind.FAILED, runs=10, then="it is written"),
    ],
    "a failure counted without owning": [
        step("two_processes_start", kinds=["plain"]),
        step("a_process_is_suspended", number=0, beats=False, ending=OutcomeKind.FAILED, others="fail later", runs=2),
    ],
    "a late success ignored when dead": [
        step("two_processes_start", kinds=["plain"]),
        step("a_process_is_suspended", number=0, beats=False, ending=OutcomeKind.SUCCEEDED, others="fail", runs=2),
    ],
    "a whole-array overwrite": [
        step("two_processes_start", kinds=["plain"]),
        step("take_a_turn", number=0, kind=OutcomeKind.FAILED, runs=1, then="it is written"),
        step("a_process_is_suspended", number=0, beats=True, ending=OutcomeKind.SUCCEEDED, others="claim", runs=10),
        step("end", number=0, kind=OutcomeKind.FAILED, runs=10, then="it is written"),
    ],
    "a crash charged to a neighbour": [
        step("two_processes_start", kinds=["poison"]),
    ],
    "a retry that resets attempts": [
        step("two_processes_start", kinds=["plain"]),
        step("a_process_is_suspended", number=0, beats=False, ending=OutcomeKind.FAILED, others="fail later", runs=1),
        step("an_operator_retries", number=0, course=Course()),
    ],
    "no reconciling": [
        step("two_processes_start", kinds=["plain"]),
        step("publish", number=0, course=Course(0, Fate.REPLY_LOST), is_new=True, kind="plain"),
    ],
    "a claim of a record that is still held": [
        step("two_processes_start", kinds=["plain", "plain"]),
        step("take_a_turn", number=0, kind=OutcomeKind.GIVEN_BACK, runs=1, then="it is written"),
        step("take_a_turn", number=0, kind=OutcomeKind.DISCARDED, runs=1, then="it is written"),
        step("take_a_turn", number=0, kind=OutcomeKind.FAILED, runs=2, then="its reply is lost"),
        step("take_a_turn", number=0, kind=OutcomeKind.DISCARDED, runs=1, then="it is written"),
        step("take_a_turn", number=0, kind=OutcomeKind.SUCCEEDED, runs=1, then="it is written"),
    ],
    "a claim of a record that another worker owns": [
        step("two_processes_start", kinds=["unowned"]),
        step("two_race_for_the_same", number=0),
    ],
}
