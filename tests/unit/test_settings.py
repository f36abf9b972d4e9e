"""The value of each setting, its origin, and refused values."""

from pathlib import Path

import pytest

from craft_easy.core.events.errors import InvalidSetting
from craft_easy.core.events.settings import Value, redact, resolve, resolve_modules

FILE = """
[tool.craft-events]
uri = "mongodb://file:1"
database = "file_db"
handlers = ["shop.handlers", "billing.app:bus"]
app-dir = "src"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text(FILE)
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    return below


def test_the_defaults_are_those_of_the_design() -> None:
    found = resolve(environ={})
    assert (found.uri.value, found.database.value, found.collection.value) == (
        "mongodb://localhost:27017",
        "craft_easy",
        "event_log",
    )
    assert found.uri.is_default
    modules = resolve_modules(environ={})
    assert (modules.handlers.value, modules.app_dir.value) == ((), ".")


def test_a_flag_goes_before_the_environment_before_the_file_before_the_default(project: Path) -> None:
    environ = {"CRAFT_EVENTS_URI": "mongodb://env:2"}
    assert resolve({"uri": "mongodb://flag:3"}, environ=environ, directory=project).uri == Value(
        "mongodb://flag:3", "--uri"
    )
    assert resolve({}, environ=environ, directory=project).uri == Value("mongodb://env:2", "CRAFT_EVENTS_URI")
    file = str(project.parent.parent / "pyproject.toml")
    assert resolve({}, environ={}, directory=project).uri == Value("mongodb://file:1", file)
    assert resolve({}, environ={}).uri == Value("mongodb://localhost:27017", "the default")


def test_the_library_reads_no_file(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    assert resolve(environ={}).uri.is_default


def test_an_empty_variable_counts_as_not_set() -> None:
    assert resolve(environ={"CRAFT_EVENTS_URI": "", "CRAFT_EVENTS_DATABASE": ""}).uri.is_default


def test_the_file_is_the_nearest_one_that_has_the_table(project: Path) -> None:
    (project / "pyproject.toml").write_text('[project]\nname = "craft-events-user"\n')
    assert resolve(environ={}, directory=project).database.value == "file_db"


def test_folders_in_the_file_are_relative_to_it(project: Path) -> None:
    root = project.parent.parent
    assert resolve_modules(environ={}, directory=project).app_dir.value == str(root / "src")
    (root / "pyproject.toml").write_text('[tool.craft-events]\nuri = "embedded:var/events"\n')
    assert resolve(environ={}, directory=project).uri.value == f"embedded:{root}/var/events"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool.craft-events]\nurl = 'x'", r"url: is not a setting \(from .*pyproject\.toml\)"),
        ("[tool.craft-events]\nuri = 1", "uri: must be a text"),
        ("[tool.craft-events]\nhandlers = [1]", "handlers: must be a text or a list of texts"),
        ("[tool]\ncraft-events = 1", "is not a table"),
        ("[tool.craft-events\n", r"pyproject\.toml: cannot be read"),
    ],
)
def test_a_file_with_an_invalid_setting_is_an_error_that_names_the_file(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    read = resolve_modules if "handlers" in text else resolve
    with pytest.raises(InvalidSetting, match=message):
        read(environ={}, directory=tmp_path)


def test_a_broken_file_of_another_project_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[broken")
    assert resolve(environ={}, directory=tmp_path).uri.is_default


@pytest.mark.parametrize(
    "text",
    [
        "shop.handlers,billing.app:bus",
        " shop.handlers , billing.app:bus,",
        "shop.handlers,,billing.app:bus,shop.handlers",
    ],
)
def test_handler_modules_are_separated_by_commas_and_named_once(text: str) -> None:
    found = resolve_modules(environ={"CRAFT_EVENTS_HANDLERS": text}).handlers
    assert found == Value(("shop.handlers", "billing.app:bus"), "CRAFT_EVENTS_HANDLERS")
    assert resolve_modules({"handlers": [text]}, environ={}).handlers == Value(
        ("shop.handlers", "billing.app:bus"), "--module"
    )


def test_handler_modules_come_from_the_file_as_a_list_or_a_text(project: Path) -> None:
    assert resolve_modules(environ={}, directory=project).handlers.value == ("shop.handlers", "billing.app:bus")


@pytest.mark.parametrize(
    ("uri", "database"),
    [
        ("mongodb://h/shop", "shop"),
        ("mongodb://u:p@h1,h2:27018/shop?replicaSet=rs0", "shop"),
        ("mongodb+srv://h/shop%2Devents", "shop-events"),
        ("mongodb://h/", "craft_easy"),
        ("mongodb://h", "craft_easy"),
        ("mongodb://h/?authSource=admin", "craft_easy"),
        ("MONGODB://h/shop", "shop"),
        ("embedded:./a/b", "craft_easy"),
    ],
)
def test_the_database_is_that_of_the_uri_otherwise_the_default(uri: str, database: str) -> None:
    assert resolve({"uri": uri}, environ={}).database.value == database


def test_a_database_that_was_named_goes_before_the_uris() -> None:
    found = resolve({"uri": "mongodb://h/admin", "database": "shop"}, environ={}).database
    assert found == Value("shop", "--database")


@pytest.mark.parametrize(
    "name",
    [
        "", "a/b", "a\\b", "a.b", "a b", 'a"b', "a$b", "$a", "a*", "a<b", "a>b", "a:b", "a|b", "a?b", "a\0b", "x" * 64,
        "ü" * 32, "admin", "local", "config", "Admin", "a\udcffb",
    ],
)  # fmt: skip
def test_a_database_name_that_mongodb_forbids_or_keeps_is_refused(name: str) -> None:
    with pytest.raises(InvalidSetting, match=r"^--database: "):
        resolve({"database": name}, environ={})


@pytest.mark.parametrize(
    "name",
    ["", "system.users", "system.", "a.system.b", "$cmd", "a$b", "a\0b", ".a", "a.", "a..b", "x" * 250, "a\udcffb"],
)
def test_a_collection_name_that_mongodb_forbids_or_keeps_is_refused(name: str) -> None:
    with pytest.raises(InvalidSetting, match=r"^--collection: "):
        resolve({"collection": name}, environ={})


@pytest.mark.parametrize("name", ["a", "event_log", "events.v2", "système", "systems", "a-b", "x" * 200])
def test_every_other_collection_name_is_taken(name: str) -> None:
    assert resolve({"collection": name}, environ={}).collection.value == name


def test_a_name_that_is_not_from_a_flag_is_shown_with_its_origin() -> None:
    with pytest.raises(
        InvalidSetting, match=r'database: "a/b" holds "/", which MongoDB forbids \(from CRAFT_EVENTS_DATABASE\)'
    ):
        resolve(environ={"CRAFT_EVENTS_DATABASE": "a/b"})
    with pytest.raises(InvalidSetting, match=r'^--uri: "admin" is a database of MongoDB itself') as caught:
        resolve({"uri": "mongodb://h/admin"}, environ={})
    assert "authSource" in str(caught.value.hint)


@pytest.mark.parametrize(
    "uri", ["", "localhost", "http://h", "mongodb:/h", "mongodb://", "mongodb:///db", "embedded:", "mongodb://h\n"]
)
def test_an_invalid_address_is_refused(uri: str) -> None:
    with pytest.raises(InvalidSetting, match=r"^--uri: "):
        resolve({"uri": uri}, environ={})


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://app:sec/ret@h/db",
        "mongodb://app:sec@ret@h/db",
        "mongodb://app:sec:ret@h/db",
        "mongodb://app:sec%ret@h/db",
        "mongodb://app:sec ret@h/db",
        "mongodb://app:sec?ret@h/db",
        "mongodb://app:sec#ret",
    ],
)
def test_a_password_that_was_not_escaped_is_refused_before_a_driver_could_quote_it(uri: str) -> None:
    with pytest.raises(InvalidSetting, match=r"must be escaped|white space") as caught:
        resolve({"uri": uri}, environ={})
    assert "sec" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize("uri", ["mongodb://[::1]:27017/db", "mongodb://a:1,b:2,[fe80::1]", "mongodb://app:s%2Fret@h"])
def test_every_way_to_name_hosts_is_taken(uri: str) -> None:
    assert resolve({"uri": uri}, environ={}).uri.value == uri


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("at mongodb://app:secret@h/db now", "at mongodb://app:***@h/db now"),
        ("mongodb+srv://app:se/c@ret@h", "mongodb+srv://app:***@h"),
        ("MongoDB://app:secret@h", "MongoDB://app:***@h"),
        ("http://app:secret@h", "http://app:***@h"),
        ("mongodb://app@h/db", "mongodb://app@h/db"),
        ("mongodb://h/?tlsCertificateKeyFilePassword=secret&w=1", "mongodb://h/?tlsCertificateKeyFilePassword=***&w=1"),
        ("mongodb://h/?authMechanismProperties=AWS_SESSION_TOKEN:secret", "mongodb://h/?authMechanismProperties=AWS_SESSION_TOKEN:***"),
        ("nothing = here", "nothing = here"),
        ("plain", "plain"),
    ],
)  # fmt: skip
def test_passwords_are_masked_in_every_address(text: str, expected: str) -> None:
    assert redact(text) == expected


@pytest.mark.parametrize("uri", ["http://app:secret@h", "app:secret@h", "//app:secret@h/db", "mongo://app:se@cret@h"])
def test_what_is_no_address_is_refused_without_its_password(uri: str) -> None:
    with pytest.raises(InvalidSetting, match="is not a MongoDB address") as caught:
        resolve({"uri": uri}, environ={})
    assert "cret" not in str(caught.value)


def test_the_repr_of_the_settings_shows_no_password() -> None:
    assert "secret" not in repr(resolve({"uri": "mongodb://app:secret@h/db"}, environ={}))
