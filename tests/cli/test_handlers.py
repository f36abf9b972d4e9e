"""`handlers list`, and handler modules with odd imports."""

import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Cli, Golden
from tests.support.applications import application

SHOP = {
    "shop/__init__.py": "",
    "shop/stock.py": """
        from craft_easy.core.events import RetryPolicy, event_handler

        @event_handler("order.placed", retry=RetryPolicy(max_attempts=5, delay=10), timeout=2.5, aliases=("old:id",))
        async def reserve(event): ...
    """,
    "shop/mail.py": """
        from craft_easy.core.events import event_handler

        @event_handler("order.*", background=True)
        def send_confirmation(event): ...
    """,
    "shop/audit.py": """
        from craft_easy.core.events import event_handler

        @event_handler("*", background=True, replayable=False)
        async def write(event): ...
    """,
    "shop/billing.py": """
        from craft_easy.core.events import event_handler

        @event_handler("order.placed")
        async def charge(event): ...
    """,
    "shop/handlers.py": "import shop.stock, shop.mail, shop.audit, shop.billing\nprint('a print')",
    "own.py": """
        from craft_easy.core.events import EventBus

        bus = EventBus()

        class app:
            events = bus

        async def react(event): ...

        bus.subscribe("x", react)
    """,
    "odd.py": """
        from craft_easy.core.events import event_handler

        @event_handler("a.[red]*\\x1b[31m", id="=cmd|'\\u202e [bold]\\x07\\n")
        async def react(event): ...
    """,
    "nothing.py": "",
    "raises.py": "def connect():\n    raise RuntimeError('no \\x1b[31mgateway\\nat mongodb://app:secret@h/')\nconnect()",
    "exits.py": "import sys\nsys.exit(0)",
    "exits_below.py": "import exits",
    "broken.py": "def f(:",
    "needs.py": "import no_such_library",
    "base.py": "class Odd(BaseException): ...\nraise Odd('bye')",
    "twice.py": "from craft_easy.core.events import event_handler\nevent_handler('a')(lambda event: None)",
    "half.py": "import shop.handlers\nraise ValueError('after the half')",
    "interrupted.py": "raise KeyboardInterrupt",
}


@pytest.fixture(autouse=True)
def app(tmp_path: Path) -> Iterator[Path]:
    with application(tmp_path, {name: textwrap.dedent(text) for name, text in SHOP.items()}) as directory:
        yield directory


@pytest.mark.parametrize("output", ["table", "ndjson", "json", "csv"])
def test_every_format_has_the_same_content(cli: Cli, golden: Golden, app: Path, output: str) -> None:
    ended = cli("handlers", "list", "-m", "shop.handlers", "-o", output)
    assert ended.code == 0
    assert ended.err.startswith("a print\n4 handlers under 3 patterns")
    golden(f"handlers-list.{output}", ended.out.replace(str(app), "APP"))


def test_a_pipe_gets_ndjson_in_registration_order(cli: Cli, app: Path) -> None:
    rows = [json.loads(line) for line in cli("handlers", "list", "-m", "shop.handlers").out.splitlines()]
    keys = ["pattern", "order", "id", "mode", "replayable", "timeout", "retry", "aliases", "file", "line"]
    assert all(list(row) == keys for row in rows)
    assert [row["order"] for row in rows] == [1, 2, 3, 4]
    assert [row["id"] for row in rows] == [
        "shop.stock:reserve", "shop.mail:send_confirmation", "shop.audit:write", "shop.billing:charge",
    ]  # fmt: skip
    assert rows[0]["file"] == str(app / "shop/stock.py")


@pytest.mark.parametrize("columns", [45, 60, 80, 200])
def test_a_table_drops_columns_rather_than_wrap(
    cli: Cli, golden: Golden, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    table = cli("handlers", "list", "-m", "shop.handlers", "-o", "table").out
    assert max(map(len, table.splitlines())) <= columns
    assert len(table.splitlines()) == 5
    assert all(f"{name} " in table or f"{name}\n" in table for name in ("shop.mail:send_confirmation", "Pattern"))
    assert ("Where" in table) is (columns == 200)
    assert ("Mode" in table) is (columns >= 80)
    golden(f"handlers-list.{columns}", table)


@pytest.mark.parametrize("output", ["table", "ndjson", "json", "csv"])
def test_no_format_prints_a_raw_character(cli: Cli, golden: Golden, app: Path, output: str) -> None:
    ended = cli("handlers", "list", "-m", "odd", "-o", output)
    assert ended.code == 0
    assert ended.out.replace("\r\n", "\n").replace("\n", "").isprintable()
    golden(f"handlers-list-odd.{output}", ended.out.replace(str(app), "APP"))
    if output in ("ndjson", "json"):
        row = json.loads(ended.out)[0] if output == "json" else json.loads(ended.out)
        assert row["pattern"] == "a.[red]*\x1b[31m"


@pytest.mark.parametrize("name", ["own:bus", "own:app.events"])
def test_a_bus_in_a_module_is_named_after_a_colon(cli: Cli, name: str) -> None:
    ended = cli("handlers", "list", "-m", name)
    assert ended.code == 0
    assert json.loads(ended.out)["id"] == "own:react"


def test_handler_modules_come_from_the_environment_and_the_file_too(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, app: Path
) -> None:
    (app / "pyproject.toml").write_text('[tool.craft-events]\nhandlers = ["shop.mail"]\n')
    assert cli("handlers", "list").out.count("\n") == 1
    monkeypatch.setenv("CRAFT_EVENTS_HANDLERS", "shop.mail,shop.audit")
    assert cli("handlers", "list").out.count("\n") == 2


def test_modules_are_looked_up_in_the_app_dir_after_the_installed_ones(
    cli: Cli, app: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (app / "elsewhere").mkdir()
    monkeypatch.chdir(app / "elsewhere")
    (app / "json.py").write_text("raise AssertionError('shadowed')")
    assert cli("handlers", "list", "-m", "shop.mail").code == 5
    assert cli("handlers", "list", "-m", "shop.mail", "--app-dir", "..").code == 0
    assert sys.path[-1] == str(app)


@pytest.mark.parametrize(
    ("names", "lines"),
    [
        (["shop.handler"], [
            "error: the handler module shop.handler cannot be imported: No module named 'shop.handler'",
            "did you mean shop.handlers? modules are looked up from . (--app-dir)",
        ]),
        (["shpo"], [
            "error: the handler module shpo cannot be imported: No module named 'shpo'",
            "did you mean shop? modules are looked up from . (--app-dir)",
        ]),
        (["zzz.yyy"], [
            "error: the handler module zzz.yyy cannot be imported: No module named 'zzz'",
            "modules are looked up from . (--app-dir)",
        ]),
        (["raises"], [
            r"error: the handler module raises cannot be imported: RuntimeError: no \x1b[31mgateway\nat mongodb://app:***@h/",
            r"raises.py:3 in <module> → raises.py:2 in connect: raise RuntimeError('no \x1b[31mgateway\nat mongodb://app:***@h/')",
        ]),
        (["exits"], [
            "error: the handler module exits cannot be imported: it calls sys.exit(0)",
            "exits.py:2 in <module>: sys.exit(0)",
        ]),
        (["exits_below"], [
            "error: the handler module exits_below cannot be imported: it calls sys.exit(0)",
            "exits_below.py:1 in <module> → exits.py:2 in <module>: sys.exit(0)",
        ]),
        (["broken"], [
            "error: the handler module broken cannot be imported: SyntaxError: invalid syntax",
            "broken.py:1: def f(:",
        ]),
        (["needs"], [
            "error: the handler module needs cannot be imported: No module named 'no_such_library'",
            "needs.py:1 in <module>: import no_such_library",
            f"is no_such_library installed in {sys.prefix}? modules are also looked up from . (--app-dir)",
        ]),
        (["base"], ["error: the handler module base cannot be imported: base.Odd: bye", None]),
        (["twice"], ["error: the handler module twice cannot be imported: TypeError: ", None]),
        (["half"], ["error: the handler module half cannot be imported: ValueError: after the half", None]),
        (["shop.mail", "raises"], ["error: the handler module raises cannot be imported", None]),
        (["nothing"], [
            "error: the handler module nothing registers no handler",
            "register a handler with @event_handler(...) or bus.subscribe(...)",
        ]),
        (["own"], [
            "error: the handler module own registers no handler",
            "own has a bus of its own: -m own:bus",
        ]),
        (["own:nope"], [
            "error: the handler module own has no EventBus called nope",
            "M:bus names an EventBus in M",
        ]),
        (["shop.stock:reserve"], [
            "error: the handler module shop.stock has no EventBus called reserve",
            "shop.stock:reserve is a handler: use --handler for it, and -m shop.stock for its module",
        ]),
        (["shop.mail", "own:bus"], [
            "error: the handler module own:bus registers on a different bus from shop.mail",
            "name one bus, as M:bus",
        ]),
        (["shop/stock.py"], [
            "error: the handler module shop/stock.py cannot be imported: not a valid module name",
            "a module is named as in an import: shop.stock",
        ]),
        (["\x1b[31m[red]"], [
            r"error: the handler module \x1b[31m[red] cannot be imported: not a valid module name",
            "a module is named as in an import: shop.handlers",
        ]),
    ],
)  # fmt: skip
def test_an_unusable_module_is_exit_5_and_its_place_is_named(
    cli: Cli, names: list[str], lines: list[str | None]
) -> None:
    ended = cli("handlers", "list", *(word for name in names for word in ("-m", name)))
    shown = [line for line in ended.err.splitlines() if line != "a print"]
    assert (ended.code, ended.out) == (5, "")
    assert len(shown) == len(lines)
    for line, expected in zip(shown, lines, strict=True):
        assert expected is None or line.startswith(expected)


def test_debug_shows_the_modules_own_traceback(cli: Cli) -> None:
    ended = cli("handlers", "list", "-m", "raises", "--debug")
    assert ended.code == 5
    assert 'raises.py", line 2, in connect' in ended.err
    assert "secret" not in ended.err


def test_one_module_of_several_that_registers_nothing_is_a_warning(cli: Cli) -> None:
    ended = cli("handlers", "list", "-m", "shop.mail", "-m", "nothing")
    assert ended.code == 0
    assert ended.err.startswith("warning: the handler module nothing registers no handler\n")


def test_a_module_named_as_one_that_is_imported_already_is_told_from_it(cli: Cli) -> None:
    Path("queue.py").write_text("from shop import mail\n")  # the standard library has a queue, too
    ended = cli("handlers", "list", "-m", "queue")
    assert ended.code == 5
    assert ended.err.splitlines()[0] == "error: the handler module queue registers no handler"
    assert "/queue.py was imported, which has the name of queue.py: rename one of them" in ended.err

    ended = cli("handlers", "list", "-m", "shop.mail", "-m", "queue")
    assert ended.code == 0
    assert "warning: the handler module queue registers no handler: " in ended.err


def test_no_module_at_all_is_wrong_usage(cli: Cli) -> None:
    ended = cli("handlers", "list")
    assert ended.code == 2
    assert "-m shop.handlers" in ended.err


def test_an_interrupt_while_a_module_is_imported_is_an_interrupt(cli: Cli) -> None:
    assert cli("handlers", "list", "-m", "interrupted").code == 130


def test_a_folder_that_does_not_exist_is_wrong_usage(cli: Cli) -> None:
    ended = cli("handlers", "list", "-m", "shop.mail", "--app-dir", "nowhere")
    assert ended.code == 2
    assert ended.err.startswith("error: --app-dir: dir 'nowhere' does not exist\n")
