"""The command to type next: it leads to the log and to the handlers of this run, and repeats no password."""

from pathlib import Path

import pytest

from craft_easy.core.events.errors import StoreError
from craft_events_cli.output import next_step
from craft_events_cli.output.next_step import FlagsGiven


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("CRAFT_EVENTS_HANDLERS", "CRAFT_EVENTS_ENV"):
        monkeypatch.delenv(name, raising=False)


def test_a_command_has_the_flags_that_were_given_and_no_others() -> None:
    assert next_step.command("dead", "list") == "craft-events dead list"
    with next_step.carrying(FlagsGiven({"--env": "prod", "--collection": "old events"})):
        assert next_step.command("show", "a b") == "craft-events show 'a b' --env prod --collection 'old events'"
    assert next_step.command("workers") == "craft-events workers"


def test_a_command_with_a_flag_of_its_own_does_not_get_it_twice() -> None:
    with next_step.carrying(FlagsGiven({"--uri": "mongodb://db-1", "--collection": "events"})):
        assert next_step.command("replay", "--collection", "old") == (
            "craft-events replay --collection old --uri mongodb://db-1"
        )


@pytest.mark.parametrize("uri", ["mongodb://app:secret@db-1/shop", "mongodb+srv://app:s%40@db/?proxyPassword=secret"])
def test_a_password_is_never_repeated(uri: str) -> None:
    with next_step.carrying(FlagsGiven({"--uri": uri})):
        assert next_step.command("stats") == 'craft-events stats --uri "$CRAFT_EVENTS_URI"'


def test_handlers_are_loaded_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    with next_step.carrying(FlagsGiven(modules=["shop.handlers", "billing:bus"], app_dir="my src")):
        assert next_step.loading("redispatch", "--now", guess=["other"]) == (
            "craft-events redispatch --now -m shop.handlers -m billing:bus --app-dir 'my src'"
        )


@pytest.mark.parametrize("guess", [[], ["MODULE"], ["shop.billing", "shop.mail"]])
def test_modules_that_nobody_named_are_guessed_unless_a_variable_names_them(
    monkeypatch: pytest.MonkeyPatch, guess: list[str]
) -> None:
    flags = "".join(f" -m {one}" for one in guess)
    assert next_step.loading("redispatch", guess=guess) == f"craft-events redispatch{flags}"
    monkeypatch.setenv("CRAFT_EVENTS_HANDLERS", "shop.handlers")
    assert next_step.loading("redispatch", guess=guess) == "craft-events redispatch"


def test_a_file_names_modules_too(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        "[tool.craft-events]\nuri = 'mongodb://db-1'\n[tool.craft-events.env.prod]\nhandlers = 'shop'\n"
    )
    assert next_step.loading("redispatch") == "craft-events redispatch -m MODULE"
    with next_step.carrying(FlagsGiven({"--env": "prod"})):
        assert next_step.loading("redispatch") == "craft-events redispatch --env prod"


def test_what_the_library_suggests_gets_the_flags_too() -> None:
    text = "run it: craft-events redispatch -m MODULE   more: craft-events dead list --by error"
    assert next_step.completed(text) == text
    with next_step.carrying(FlagsGiven({"--env": "prod"}, modules=["shop"])):
        assert next_step.completed(text) == (
            "run it: craft-events redispatch --env prod -m shop   more: craft-events dead list --env prod --by error"
        )
        assert next_step.completed("[tool.craft-events.env.prod]") == "[tool.craft-events.env.prod]"


def test_the_hint_of_an_error_has_them_as_well() -> None:
    with pytest.raises(StoreError) as caught, next_step.carrying(FlagsGiven({"--env": "prod"})):
        raise StoreError("no index", hint="create it: craft-events doctor --fix")
    assert caught.value.hint == "create it: craft-events doctor --env prod --fix"
