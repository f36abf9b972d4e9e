import functools
import importlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from craft_easy.core.events.handlers.registry import MAX_PLANS, Registry, handler_id, origin, place
from craft_easy.core.events.model.retry import RetryPolicy
from tests.unit import handlers_of_a_module as shop

MODULE = "tests.unit.handlers_of_a_module"


@pytest.fixture
def registry() -> Registry:
    return Registry()


def patterns(registry: Registry) -> list[tuple[str, str, int]]:
    return [(one.pattern, one.handler.id, one.order) for one in registry.subscriptions()]


# Ids


@pytest.mark.parametrize(
    ("handler", "name"),
    [
        (shop.charge, f"{MODULE}:charge"),
        (shop.Mailer().send, f"{MODULE}:Mailer.send"),
        (print, "builtins:print"),
    ],
)
def test_a_handler_id_is_its_module_and_its_qualified_name(handler: Callable[..., Any], name: str) -> None:
    assert handler_id(handler) == name


@pytest.mark.parametrize(
    ("handler", "what", "fix"),
    [
        (lambda event: None, "a lambda has no lasting name", r"subscribe\(pattern, lambda event: …, id=\"orders."),
        (functools.partial(shop.charge), "a partial", r"partial\(charge, …\), id=\"orders.charge\""),
        (shop.Mailer(), "the callable object", r"Mailer\(…\), id=\"orders.Mailer\""),
        ([].append, "the callable object list.append", r"id=\"orders.append\""),
        (shop.Mailer, "the callable object Mailer", "id="),
    ],
)
def test_a_handler_without_a_lasting_name_is_refused_with_the_fix(
    handler: Callable[..., Any], what: str, fix: str
) -> None:
    with pytest.raises(TypeError, match=what) as refusal:
        handler_id(handler)
    assert refusal.match(fix)


def test_a_local_function_is_refused_and_the_fix_is_shown() -> None:
    async def charge(event: object) -> None: ...

    with pytest.raises(TypeError, match=r"local function .*charge.*id=\"orders.charge\""):
        handler_id(charge)


@pytest.mark.parametrize(
    ("main", "name"),
    [
        (SimpleNamespace(__spec__=SimpleNamespace(name="shop.worker"), __file__="/x/worker.py"), "shop.worker:charge"),
        (SimpleNamespace(__spec__=None, __file__="/x/worker.py"), "worker:charge"),
        (SimpleNamespace(__spec__=SimpleNamespace(name="__main__"), __file__="/x/worker.py"), "worker:charge"),
        (SimpleNamespace(__spec__=None), "__main__:charge"),
    ],
)
def test_main_becomes_the_real_name_of_the_module(
    main: SimpleNamespace, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    function = SimpleNamespace(__module__="__main__", __qualname__="charge")
    monkeypatch.setitem(sys.modules, "__main__", main)

    assert handler_id(function) == name  # type: ignore[arg-type]


def test_each_definition_of_a_session_without_a_file_is_an_execution_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    main = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    function = SimpleNamespace(__module__="__main__", __qualname__="charge")

    assert origin(function) is function  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "handler", [shop.charge, functools.partial(shop.charge), shop.Mailer().send, shop.Mailer(), functools.wraps]
)
def test_the_place_of_a_handler_is_the_line_of_its_code(handler: Callable[..., Any]) -> None:
    file, line = place(handler)

    assert Path(file).name in ("handlers_of_a_module.py", "functools.py")
    assert line > 0


def test_a_decorated_handler_is_found_at_what_it_wraps() -> None:
    @functools.wraps(shop.audit)
    def wrapped(event: object) -> None: ...

    assert place(wrapped) == place(shop.audit)
    assert handler_id(wrapped) == f"{MODULE}:audit"


def test_a_function_outside_python_code_has_no_place() -> None:
    assert place(print) == ("", 0)


# Subscriptions


def test_subscriptions_keep_the_order_of_registration(registry: Registry) -> None:
    registry.subscribe("b.*", shop.charge)
    registry.subscribe("a.*", shop.audit)
    registry.subscribe("c.*", shop.charge)

    assert patterns(registry) == [
        ("b.*", f"{MODULE}:charge", 1),
        ("a.*", f"{MODULE}:audit", 2),
        ("c.*", f"{MODULE}:charge", 3),
    ]


def test_a_handler_keeps_its_options(registry: Registry) -> None:
    policy = RetryPolicy(max_attempts=3)
    handler = registry.subscribe(
        "*", shop.audit, background=True, aliases=["old:audit"], replayable=False, timeout=2, retry=policy
    ).handler

    assert (handler.background, handler.aliases, handler.replayable) == (True, ("old:audit",), False)
    assert (handler.timeout, handler.retry, handler.is_async) == (2, policy, False)
    assert Path(handler.file).name == "handlers_of_a_module.py"


@pytest.mark.parametrize(
    ("handler", "is_async"),
    [
        (shop.charge, True),
        (shop.audit, False),
        (shop.Mailer(), True),
        (shop.Mailer().send, True),
        (functools.partial(shop.charge), True),
        (functools.partial(shop.audit), False),
        (functools.partial(shop.Mailer()), True),
    ],
)
def test_async_callables_of_every_kind_are_known(
    registry: Registry, handler: Callable[..., Any], is_async: bool
) -> None:
    assert registry.subscribe("*", handler, id="any").handler.is_async is is_async


def test_the_same_function_under_the_same_pattern_takes_its_place(registry: Registry) -> None:
    registry.subscribe("a", shop.charge)
    registry.subscribe("a", shop.audit)
    registry.subscribe("a", shop.charge, background=True)

    assert patterns(registry) == [("a", f"{MODULE}:charge", 1), ("a", f"{MODULE}:audit", 2)]
    assert registry.subscriptions()[0].handler.background


def test_a_method_that_is_looked_up_again_is_the_same_handler(registry: Registry) -> None:
    mailer = shop.Mailer()
    registry.subscribe("a", mailer.send)
    registry.subscribe("a", mailer.send)

    assert len(registry.subscriptions()) == 1


def test_methods_of_two_objects_under_one_id_are_refused(registry: Registry) -> None:
    registry.subscribe("a", shop.Mailer().send)

    with pytest.raises(TypeError, match="two functions under one handler id"):
        registry.subscribe("b", shop.Mailer().send)


def test_two_functions_under_one_id_are_refused_and_both_places_are_named(registry: Registry) -> None:
    registry.subscribe("a", shop.charge, id="shop")

    with pytest.raises(TypeError, match=r"module.py:\d+ and .*module.py:\d+; .* id=\"shop_2\""):
        registry.subscribe("b", shop.audit, id="shop")
    assert len(registry.subscriptions()) == 1


@pytest.mark.parametrize(
    ("pattern", "handler", "options", "error", "text"),
    [
        (shop.charge, shop.charge, {}, TypeError, "the pattern comes first"),
        ("", shop.charge, {}, ValueError, "must not be empty"),
        ("*", "shop.charge", {}, TypeError, "a handler is a function"),
        ("*", shop.yields, {}, TypeError, "yields"),
        ("*", shop.Streams(), {"id": "streams"}, TypeError, "yields"),
        ("*", functools.partial(shop.Streams()), {"id": "streams"}, TypeError, "yields"),
        ("*", shop.takes_two, {}, TypeError, "called with the event and nothing else"),
        ("*", shop.charge, {"id": ""}, ValueError, "must not be empty"),
        ("*", shop.charge, {"id": 7}, TypeError, "must be a string"),
        ("*", shop.charge, {"aliases": "old"}, TypeError, r"aliases=\('old',\)"),
        ("*", shop.charge, {"timeout": 0}, ValueError, "timeout"),
        ("*", shop.charge, {"retry": 3}, TypeError, "RetryPolicy"),
    ],
)
def test_an_unusable_value_is_refused(
    registry: Registry, pattern: Any, handler: Any, options: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        registry.subscribe(pattern, handler, **options)
    assert registry.subscriptions() == ()


def test_a_builtin_without_a_signature_is_accepted(registry: Registry) -> None:
    assert registry.subscribe("*", dict.fromkeys, id="builtin")
    assert registry.subscribe("*", type, id="no signature")


@pytest.mark.parametrize("which", [shop.charge, f"{MODULE}:charge"])
def test_unsubscribe_takes_a_function_or_an_id(registry: Registry, which: Callable[..., Any] | str) -> None:
    registry.subscribe("a", shop.charge)
    registry.subscribe("b", shop.charge)
    registry.subscribe("b", shop.audit)

    assert registry.unsubscribe(which) == 2
    assert patterns(registry) == [("b", f"{MODULE}:audit", 1)]
    assert registry.unsubscribe(which) == 0


def test_unsubscribe_from_one_pattern_leaves_the_others(registry: Registry) -> None:
    registry.subscribe("a", shop.charge)
    registry.subscribe("b", shop.charge)

    assert registry.unsubscribe(shop.charge, pattern="a") == 1
    assert [one.pattern for one in registry.subscriptions()] == ["b"]


def test_a_handler_is_found_by_its_id_before_another_ones_alias(registry: Registry) -> None:
    registry.subscribe("a", shop.audit, aliases=[f"{MODULE}:charge", "old"])
    charge = registry.subscribe("a", shop.charge).handler

    assert registry.handler(f"{MODULE}:charge") is charge
    assert (found := registry.handler("old")) is not None
    assert found.function is shop.audit
    assert registry.handler("unknown") is None


def test_sixteen_times_the_subscriptions_take_far_less_than_its_square_as_long() -> None:
    def seconds(count: int) -> float:
        registry, handlers = Registry(), [functools.partial(shop.charge) for _ in range(count)]
        began = time.process_time()
        for number, handler in enumerate(handlers):
            registry.subscribe("*", handler, id=f"shop:{number}")
        return time.process_time() - began

    few, many = min(seconds(100) for _ in range(3)), seconds(1600)
    assert many < 16 * few * 6, "each call rebuilt all plans"


# Plans


def test_a_plan_holds_exact_and_wildcard_handlers_in_one_order(registry: Registry) -> None:
    registry.subscribe("*", shop.charge, id="1")
    registry.subscribe("a.b", shop.charge, id="2", background=True)
    registry.subscribe("a.?", shop.charge, id="3")
    registry.subscribe("b.*", shop.charge, id="4")
    plan = registry.plan("a.b")

    assert [one.id for one in plan.handlers] == ["1", "2", "3"]
    assert [one.id for one in plan.background] == ["2"]


def test_a_handler_under_several_patterns_is_in_a_plan_once_with_its_first_options(registry: Registry) -> None:
    registry.subscribe("a.*", shop.charge, background=True)
    registry.subscribe("*", shop.charge)

    assert [one.background for one in registry.plan("a.b").handlers] == [True]
    assert [one.background for one in registry.plan("b").handlers] == [False]


def test_a_plan_is_kept_until_the_subscriptions_change(registry: Registry) -> None:
    registry.subscribe("*", shop.charge)
    plan = registry.plan("a")

    assert registry.plan("a") is plan
    registry.subscribe("*", shop.audit)
    assert len(registry.plan("a").handlers) == 2


def test_event_types_without_number_do_not_fill_the_memory(registry: Registry) -> None:
    for number in range(MAX_PLANS + 10):
        registry.plan(f"type.{number}")

    assert len(registry.plans) <= MAX_PLANS


# Reload


@pytest.fixture
def reloadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "reloadable_shop.py"
    sys.modules.pop("reloadable_shop", None)


SOURCE = "async def charge(event): ...\n"


def load(file: Path, source: str) -> ModuleType:
    file.write_text(source)
    importlib.invalidate_caches()
    module = sys.modules.get("reloadable_shop")
    return importlib.reload(module) if module else importlib.import_module("reloadable_shop")


def test_a_reloaded_module_replaces_its_own_handlers(registry: Registry, reloadable: Path) -> None:
    module = load(reloadable, SOURCE)
    registry.subscribe("a", module.charge)
    registry.subscribe("dropped", module.charge)
    registry.subscribe("a", shop.audit)
    module = load(reloadable, "# one line further down\n" + SOURCE)
    registry.subscribe("a", module.charge)
    registry.subscribe("new", module.charge)

    assert patterns(registry) == [
        ("a", "reloadable_shop:charge", 1),
        ("a", f"{MODULE}:audit", 2),
        ("new", "reloadable_shop:charge", 3),
    ]
    assert {one.handler.function for one in registry.subscriptions()} == {module.charge, shop.audit}


def test_a_module_that_is_imported_again_replaces_its_own_handlers(registry: Registry, reloadable: Path) -> None:
    registry.subscribe("a", load(reloadable, SOURCE).charge)
    del sys.modules["reloadable_shop"]
    module = load(reloadable, SOURCE)
    registry.subscribe("a", module.charge)

    assert [one.handler.function for one in registry.subscriptions()] == [module.charge]


def test_two_functions_by_one_name_in_one_module_are_refused(registry: Registry, reloadable: Path) -> None:
    module = load(reloadable, SOURCE + "first = charge\n" + SOURCE)
    registry.subscribe("a", module.first)

    with pytest.raises(TypeError, match="two functions under one handler id"):
        registry.subscribe("a", module.charge)
