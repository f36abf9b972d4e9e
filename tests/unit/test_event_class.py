import importlib
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import create_model

from craft_easy.core.events.model import event_class
from craft_easy.core.events.model.event_class import class_of
from craft_easy.core.events.types import DomainEvent, PaymentCompleted

Load = Callable[[str, str], Any]

MOVED = """
from craft_easy.core.events.types import DomainEvent

class Moved(DomainEvent):
    event_type: str = "class.moved"
"""


@pytest.fixture(autouse=True)
def _own_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_class, "_definitions", event_class._definitions.copy())


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Import a module that a test writes; it is forgotten after the test."""
    monkeypatch.syspath_prepend(tmp_path)

    def load(name: str, source: str) -> Any:
        (tmp_path / f"{name}.py").write_text(source)
        monkeypatch.setitem(sys.modules, name, None)  # so that the import is undone
        del sys.modules[name]
        return importlib.import_module(name)

    return load


def test_a_class_claims_the_type_that_its_body_states(load: Load) -> None:
    assert class_of("class.moved") is None
    assert load("first_module", MOVED).Moved is class_of("class.moved")
    assert class_of("payment.completed") is PaymentCompleted


def test_a_second_class_of_a_type_is_refused_with_both_places(load: Load, tmp_path: Path) -> None:
    first = load("first_module", MOVED).Moved
    one, two = (re.escape(str(tmp_path / name)) for name in ("first_module.py", "second_module.py"))

    with pytest.raises(TypeError, match=rf"first_module\.Moved \({one}:4\) and second_module\.Moved \({two}:4\)"):
        load("second_module", MOVED)
    assert class_of("class.moved") is first


def test_another_class_of_the_same_file_is_refused_too(load: Load) -> None:
    with pytest.raises(TypeError, match=r"Moved .*:4\) and .*Gone .*:7\)"):
        load("first_module", MOVED + "\nclass Gone(DomainEvent):\n    event_type: str = 'class.moved'\n")


def test_restating_the_type_of_ones_parent_is_a_claim_of_its_own(load: Load) -> None:
    with pytest.raises(TypeError, match="let it inherit the type"):
        load("first_module", MOVED + "\nclass Below(Moved):\n    event_type: str = 'class.moved'\n")


@pytest.mark.filterwarnings("error")
def test_a_reloaded_module_replaces_its_classes_in_silence(load: Load) -> None:
    module = load("first_module", MOVED)
    before = module.Moved
    after = importlib.reload(module).Moved

    assert after is not before
    assert class_of("class.moved") is after


@pytest.mark.filterwarnings("error")
def test_a_script_that_is_imported_once_more_under_its_own_name_is_the_same_file(tmp_path: Path) -> None:
    script = tmp_path / "shop.py"
    script.write_text(MOVED + "if __name__ == '__main__':\n    import shop\n    print(shop.Moved.__module__)\n")
    ran = subprocess.run([sys.executable, "-W", "error", script], capture_output=True, text=True, check=False)

    assert (ran.stdout, ran.stderr) == ("shop\n", "")


def test_a_local_class_replaces_with_a_warning_that_names_both_places(load: Load) -> None:
    load("first_module", MOVED)

    with pytest.warns(UserWarning, match=r"<locals>\.Moved \(.*\) replaces first_module\.Moved \(.*\)") as caught:

        class Moved(DomainEvent):
            event_type: str = "class.moved"

    assert class_of("class.moved") is Moved
    assert caught[0].filename == __file__


def test_a_local_class_that_is_made_again_replaces_itself_with_a_warning() -> None:
    def make() -> type[DomainEvent]:
        class Made(DomainEvent):
            event_type: str = "class.made"

        return Made

    make()
    with pytest.warns(UserWarning, match="replaces"):
        last = make()
    assert class_of("class.made") is last


def test_a_class_of_a_module_replaces_a_local_one_with_a_warning(load: Load) -> None:
    class Moved(DomainEvent):
        event_type: str = "class.moved"

    with pytest.warns(UserWarning, match=r"first_module\.Moved"):
        module = load("first_module", MOVED)
    assert class_of("class.moved") is module.Moved


@pytest.mark.parametrize(
    ("file", "module"),
    [
        ("<stdin>", "__main__"),
        ("<ipython-input-3-abc>", "__main__"),
        ("/nowhere/ipykernel_1/2.py", "__main__"),
        ("<doctest shop[0]>", "shop"),
        ("<console>", "shop"),
    ],
)
def test_a_class_of_a_notebook_or_a_prompt_replaces_with_a_warning(file: str, module: str) -> None:
    cell = "from craft_easy.core.events.types import DomainEvent\n" + MOVED
    globals_of_notebook: dict[str, Any] = {"__name__": module}
    exec(compile(cell, file, "exec"), globals_of_notebook)

    with pytest.warns(UserWarning, match="replaces"):
        exec(compile(cell.replace("Moved", "MovedAway"), file.replace("3", "4"), "exec"), globals_of_notebook)
    assert class_of("class.moved") is globals_of_notebook["MovedAway"]


def test_a_warning_that_is_an_error_leaves_the_first_class_in_its_place(load: Load) -> None:
    first = load("first_module", MOVED).Moved

    with pytest.raises(UserWarning):

        class Moved(DomainEvent):
            event_type: str = "class.moved"

    assert class_of("class.moved") is first


def test_two_classes_of_one_command_line_are_no_notebook() -> None:
    again = MOVED.replace("Moved", "Again").replace("class.moved", "payment.completed")
    ran = subprocess.run([sys.executable, "-c", again], capture_output=True, text=True, check=False)

    assert "TypeError: two classes claim the event type 'payment.completed'" in ran.stderr
    assert "__main__.Again (<string>:4)" in ran.stderr


def test_a_class_that_no_source_defines_is_known_by_its_module() -> None:
    known = create_model("Known", __base__=DomainEvent, __module__="json")
    unknown = create_model("Unknown", __base__=DomainEvent, __module__="nowhere")

    assert event_class._define(known).file == sys.modules["json"].__file__
    assert event_class._define(unknown).file == "<unknown>"
