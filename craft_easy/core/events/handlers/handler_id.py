"""The stable id of a handler, `module:qualname`, and where its code is."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import BuiltinFunctionType, CodeType, MethodType, ModuleType
from typing import Any


def handler_id(function: Callable[..., Any]) -> str:
    """Return the id of a function or method that its module can name.

    Raises:
        TypeError: a lambda, a partial, a local function or a callable object; the message shows what to type.
    """
    kind = _without_name(function)
    if kind is not None:
        raise TypeError(
            f"{kind} has no name that lasts, and its deliveries are kept under its handler's id; name it: "
            f'subscribe(pattern, {_shown(function)}, id="orders.{_hint(function)}")'
        )
    return f"{module_name(function)}:{function.__qualname__}"


def module_name(function: Callable[..., Any]) -> str:
    """Return the name of a function's module; for `__main__` the one under which others would import it."""
    name: str = function.__module__
    return _main_name() if name == "__main__" else name


def place(function: Callable[..., Any]) -> tuple[str, int]:
    """Return the file and the line of a callable's code; ("", 0) where it is not Python's."""
    code = _code(function)
    return ("", 0) if code is None else (code.co_filename, code.co_firstlineno)


def origin(function: Callable[..., Any]) -> object:
    """Return what tells one execution of a callable's module from the next.

    A reload, and an import after a removal from `sys.modules`, give the module a new spec. A session has no file, and
    each of its definitions is an execution of its own.
    """
    module = sys.modules.get(getattr(_named(function), "__module__", None) or "")
    if module is not None and module.__name__ == "__main__" and not hasattr(module, "__file__"):
        return function
    return getattr(module, "__spec__", None)


def _without_name(function: Callable[..., Any]) -> str | None:
    """Say why a callable has no lasting name, or None if it has one."""
    if isinstance(function, functools.partial):
        return "a partial"
    qualname = getattr(function, "__qualname__", None)
    if isinstance(function, type) or qualname is None or getattr(function, "__module__", None) is None:
        return f"the callable object {_shown(function)}"
    if "<lambda>" in qualname:
        return "a lambda"
    return f"the local function {qualname}" if "<locals>" in qualname else None


def _shown(function: Callable[..., Any]) -> str:
    if "<lambda>" in getattr(function, "__qualname__", ""):
        return "lambda event: …"
    if isinstance(function, functools.partial):
        return f"partial({_shown(function.func)}, …)"
    if isinstance(function, MethodType | BuiltinFunctionType) and not isinstance(function.__self__, ModuleType):
        return f"{type(function.__self__).__name__.lower()}.{function.__name__}"
    return getattr(function, "__name__", None) or f"{type(function).__name__}(…)"


def _hint(function: Callable[..., Any]) -> str:
    name = getattr(_named(function), "__name__", type(function).__name__)
    return name if name.isidentifier() else "on_event"


def _named(function: Callable[..., Any]) -> Any:
    while isinstance(function, functools.partial):
        function = function.func
    return function


def _code(function: Callable[..., Any]) -> CodeType | None:
    inner = inspect.unwrap(_named(function))
    code = getattr(inner, "__code__", None)
    if code is None:
        code = getattr(type(inner).__call__, "__code__", None)
    return code if isinstance(code, CodeType) else None


def _main_name() -> str:
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name != "__main__":
        return str(spec.name)
    file = getattr(main, "__file__", None)
    return Path(file).stem if file else "__main__"
