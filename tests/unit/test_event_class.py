import importlib
import subprocess
import sys
from typing import Any

import pytest

from craft_easy.core.events.model.event_class import class_of, forgetting_classes
from craft_easy.core.events.types import DomainEvent, PaymentCompleted
from tests.unit.conftest import Load

MOVED = """
from craft_easy.core.events.types import DomainEvent

class Moved(DomainEvent):
    event_type: str = "class.moved"
"""


def test_a_class_claims_the_type_that_its_body_states(load: Load) -> None:
    assert class_of("class.moved") is None
    assert load("first_module", MOVED).Moved is class_of("class.moved")
    assert class_of("payment.completed") is PaymentCompleted


def test_a_second_class_of_a_type_is_refused_and_both_are_named(load: Load) -> None:
    first = load("first_module", MOVED).Moved

    with pytest.raises(TypeError, match=r"'class\.moved': first_module\.Moved and second_module\.Moved"):
        load("second_module", MOVED)
    assert class_of("class.moved") is first


def test_another_class_of_the_same_module_is_refused_too(load: Load) -> None:
    with pytest.raises(TypeError, match=r"first_module\.Moved and first_module\.Gone"):
        load("first_module", MOVED + "\nclass Gone(DomainEvent):\n    event_type: str = 'class.moved'\n")


def test_restating_the_type_of_the_parent_is_a_new_claim(load: Load) -> None:
    with pytest.raises(TypeError, match=r"first_module\.Moved and first_module\.Below"):
        load("first_module", MOVED + "\nclass Below(Moved):\n    event_type: str = 'class.moved'\n")


def test_a_reloaded_module_replaces_its_classes(load: Load) -> None:
    module = load("first_module", MOVED)
    before = module.Moved
    after = importlib.reload(module).Moved

    assert after is not before
    assert class_of("class.moved") is after


def test_a_cell_of_a_notebook_that_is_run_again_replaces_its_class() -> None:
    notebook: dict[str, Any] = {"__name__": "__main__"}
    for _ in range(2):
        exec(MOVED, notebook)

    assert class_of("class.moved") is notebook["Moved"]


def test_a_function_that_makes_a_class_replaces_it() -> None:
    def make() -> type[DomainEvent]:
        class Made(DomainEvent):
            event_type: str = "class.made"

        return Made

    make()
    last = make()
    assert class_of("class.made") is last


def test_two_classes_of_one_script_are_refused() -> None:
    again = MOVED.replace("Moved", "Again").replace("class.moved", "payment.completed")
    ran = subprocess.run([sys.executable, "-c", again], capture_output=True, text=True, check=False)

    assert "TypeError: two classes claim the event type 'payment.completed'" in ran.stderr
    assert "__main__.Again" in ran.stderr


def test_classes_that_are_defined_within_a_block_are_removed_after_it(load: Load) -> None:
    with forgetting_classes():
        load("first_module", MOVED)
    assert class_of("class.moved") is None
    assert load("second_module", MOVED).Moved is class_of("class.moved")


def test_a_block_may_start_with_the_classes_of_some_modules_only(load: Load) -> None:
    first = load("first_module", MOVED).Moved
    with forgetting_classes(keep="craft_easy."):
        assert class_of("class.moved") is None
        assert class_of("payment.completed") is PaymentCompleted
    assert class_of("class.moved") is first
