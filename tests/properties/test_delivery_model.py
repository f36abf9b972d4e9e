"""The model of deliveries over a log in memory, which must find every bug that was put into the code on purpose."""

from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.properties.delivery_model import DeliveryMachine
from tests.properties.ledger import Violation
from tests.properties.seeded_bugs import SEEDED
from tests.properties.seeded_steps import STEPS, take

REPEATABLE: Final = settings(
    max_examples=150,
    stateful_step_count=50,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
FIRST_FOUND: Final = settings(
    REPEATABLE, max_examples=1_500, phases=[Phase.generate], report_multiple_bugs=False, print_blob=False
)


@pytest.mark.slow
def test_no_promise_is_broken_by_any_fault_of_workers_and_calls() -> None:
    run_state_machine_as_test(DeliveryMachine, settings=REPEATABLE)


@pytest.mark.parametrize("name", SEEDED)
def test_the_model_finds(name: str) -> None:
    take(STEPS[name], DeliveryMachine())
    with SEEDED[name](), pytest.raises(Violation):
        take(STEPS[name], DeliveryMachine())


@pytest.mark.proof
@pytest.mark.parametrize("name", SEEDED)
def test_a_search_finds(name: str) -> None:
    with SEEDED[name](), pytest.raises(Violation) as found:
        run_state_machine_as_test(DeliveryMachine, settings=FIRST_FOUND)
    print(*found.value.__notes__, sep="\n")
