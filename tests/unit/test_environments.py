"""The environments of `pyproject.toml`."""

from pathlib import Path

import pytest

from craft_easy.core.events.errors import InvalidSetting
from craft_easy.core.events.settings import Environment, Value, environments, resolve, resolve_modules

FILE = """
[tool.craft-events]
uri = "mongodb://base:1"
database = "base_db"
collection = "base_events"
handlers = ["shop"]

[tool.craft-events.env.prod]
protected = true
uri-env = "PROD_URI"
database = "prod_db"
handlers = "shop, billing"
app-dir = "src"

[tool.craft-events.env.staging]
uri = "mongodb://staging:1"
"""
PROD = {"PROD_URI": "mongodb://app:secret@prod:1"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "pyproject.toml"
    file.write_text(FILE)
    return file


def write(folder: Path, *lines: str) -> None:
    """Write a file with an environment `e`."""
    (folder / "pyproject.toml").write_text("\n".join(["[tool.craft-events.env.e]", *lines]))


# ------------------------------------------------------------------ which


def test_an_environment_goes_before_the_table_and_after_flags_and_variables(file: Path) -> None:
    flags = {"env": "prod", "collection": "flagged"}
    found = resolve(flags, environ={**PROD, "CRAFT_EVENTS_DATABASE": "env_db"}, directory=file.parent)
    assert found.uri == Value(PROD["PROD_URI"], f"PROD_URI, by uri-env of {file} [env.prod]")
    assert found.database == Value("env_db", "CRAFT_EVENTS_DATABASE")
    assert found.collection == Value("flagged", "--collection")
    assert resolve({"env": "prod"}, environ=PROD, directory=file.parent).database.value == "prod_db"
    assert resolve({"env": "prod"}, environ=PROD, directory=file.parent).collection.value == "base_events"
    assert resolve({}, environ=PROD, directory=file.parent).uri.value == "mongodb://base:1"


def test_an_environment_is_chosen_by_the_flag_otherwise_by_the_variable(file: Path) -> None:
    staging = {"CRAFT_EVENTS_ENV": "staging", **PROD}
    by_variable = resolve({}, environ=staging, directory=file.parent).environment
    assert by_variable == Environment("staging", "CRAFT_EVENTS_ENV", defined_in=f"{file} [env.staging]")
    by_flag = resolve({"env": "prod"}, environ=staging, directory=file.parent).environment
    assert by_flag == Environment("prod", "--env", is_protected=True, defined_in=f"{file} [env.prod]")
    assert resolve({}, environ={"CRAFT_EVENTS_ENV": ""}, directory=file.parent).environment is None


def test_an_environment_has_handler_modules_of_its_own(file: Path) -> None:
    modules = resolve_modules({"env": "prod"}, environ={}, directory=file.parent)
    assert modules.handlers.value == ("shop", "billing")
    assert modules.app_dir.value == str(file.parent / "src")
    assert resolve_modules({"env": "staging"}, environ={}, directory=file.parent).handlers.value == ("shop",)


def test_the_library_ignores_environments(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    assert resolve(environ={"CRAFT_EVENTS_ENV": "prod"}).environment is None


def test_the_environments_are_listed(file: Path) -> None:
    assert [(one.name, one.is_protected) for one in environments(file.parent)] == [("prod", True), ("staging", False)]


@pytest.mark.parametrize(
    ("env", "message", "hint"),
    [
        ("prd", '^--env: environment "prd" does not exist$', "did you mean prod?"),
        ("x", '^--env: environment "x" does not exist$', "has prod, staging"),
        ("", '^--env: environment "" does not exist$', "has prod, staging"),
    ],
)
def test_an_unknown_environment_is_an_error_that_lists_the_known_ones(
    file: Path, env: str, message: str, hint: str
) -> None:
    with pytest.raises(InvalidSetting, match=message) as caught:
        resolve({"env": env}, environ={}, directory=file.parent)
    assert hint in str(caught.value.hint)
    with pytest.raises(InvalidSetting, match=r"^env: .* \(from CRAFT_EVENTS_ENV\)$"):
        resolve({}, environ={"CRAFT_EVENTS_ENV": env or "y"}, directory=file.parent)


def test_without_environments_the_error_shows_how_to_add_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting) as caught:
        resolve({"env": "prod"}, environ={}, directory=tmp_path)
    assert caught.value.hint == "add one to pyproject.toml: [tool.craft-events.env.prod]"


def test_a_variable_that_overrides_the_environment_is_a_warning(file: Path) -> None:
    environ = {"CRAFT_EVENTS_URI": "mongodb://other:1", "CRAFT_EVENTS_COLLECTION": "c"}
    found = resolve({"env": "staging"}, environ=environ, directory=file.parent)
    assert found.uri.value == "mongodb://other:1"
    assert found.warnings == ("CRAFT_EVENTS_URI overrides the uri of staging",)
    assert resolve({"env": "prod", "uri": "mongodb://h"}, environ=environ, directory=file.parent).warnings == ()
    assert resolve({}, environ=environ, directory=file.parent).warnings == ()


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("protcted = true", r"\[tool\.craft-events\.env\.e\] protcted: is not a setting", "did you mean protected?"),
        ("databse = 'x'", "databse: is not a setting", "did you mean database?"),
        ("zzz = 1", "zzz: is not a setting", "choose from uri, uri-env, database"),
        ("env = {}", "env: is not a setting", "did you mean uri-env?"),
        ("protected = 1", "protected: must be true or false", None),
        ("protected = 'false'", "protected: must be true or false", None),
        ("uri = 'x'\nuri-env = 'Y'", "has both uri and uri-env", "leave one of them"),
    ],
)
def test_a_mistake_in_an_environment_that_is_not_chosen_is_found(
    tmp_path: Path, text: str, message: str, hint: str | None
) -> None:
    write(tmp_path, text)
    with pytest.raises(InvalidSetting, match=message) as caught:
        resolve(environ={}, directory=tmp_path)
    assert hint is None or hint in str(caught.value.hint)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool.craft-events]\nprotected = true", "protected: is not a setting"),
        ("[tool.craft-events]\nenv = 'prod'", "env: is not a table"),
        ("[tool.craft-events.env]\nprod = 1", r"env\.prod\]: is not a table"),
        ('[tool.craft-events.env."a b"]', 'env: "a b" is not a valid name'),
        ('[tool.craft-events.env."\\u001b[31m"]', "is not a valid name"),
        ('[tool.craft-events.env.""]', 'env: "" is not a valid name'),
        ('[tool]\n"craft-events" = []', "is not a table"),
        ("[tool.craft-events]\nx = " + "[" * 100_000, "nested too deeply|cannot be read"),
        ("[tool.craft-events]\nuri = " + "9" * 5_000, r"cannot be read"),
        ("[tool.craft-events]\nuri = 'x'\nuri = 'y'", "cannot be read"),
        ("[tool.craft-events]\nhandlers = '" + "x" * 2_000_000 + "'", "is larger than 1 MiB"),
    ],
)
def test_a_file_with_odd_environments_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(InvalidSetting, match=message) as caught:
        resolve(environ={}, directory=tmp_path)
    assert len(str(caught.value)) < 600 + len(str(tmp_path))


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.craft-events]\ndatabase = 'shop'\n", encoding="utf-8-sig")
    assert resolve(environ={}, directory=tmp_path).database.value == "shop"


@pytest.mark.parametrize("data", [b"[tool.craft-events]\nuri = '\xff'", "[tool.craft-events]\n".encode("utf-16")])
def test_a_file_that_is_not_utf_8_is_an_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "pyproject.toml").write_bytes(data)
    with pytest.raises(InvalidSetting, match="it is not UTF-8"):
        resolve(environ={}, directory=tmp_path)


# ------------------------------------------------------------------ origins


def chosen(folder: Path, **environ: str) -> Value[str]:
    return resolve({"env": "e"}, environ=environ, directory=folder).uri


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("uri-env = 'NO_SUCH'", 'uri-env: the variable "NO_SUCH" is not set'),
        ("uri-env = 'EMPTY'", 'uri-env: the variable "EMPTY" is not set'),
        ("uri-env = 1", "uri-env: must be a text"),
    ],
)  # fmt: skip
def test_an_environment_without_an_address_is_an_error_that_names_it(
    tmp_path: Path, setting: str, message: str
) -> None:
    write(tmp_path, setting)
    with pytest.raises(InvalidSetting, match=message) as caught:
        chosen(tmp_path, EMPTY="")
    assert "secret" not in str(caught.value)
    assert "pyproject.toml [env.e]" in str(caught.value)
