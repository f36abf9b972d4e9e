"""Run code as a reader would type it: statements at the top level of a new module, `await` included."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from textwrap import dedent
from types import ModuleType
from typing import Any, Final

from craft_easy.core.events.model.event_class import forgetting_classes

_numbers: Final = count(1)


@contextmanager
def module(name: str, file: str) -> Iterator[ModuleType]:
    """Yield a module that can be imported by its name until the block ends; its event classes are removed with it."""
    made = sys.modules[name] = ModuleType(name)
    made.__file__ = file
    try:
        with forgetting_classes():
            yield made
    finally:
        del sys.modules[name]


async def run(source: str, *, file: str = "", line: int = 1) -> dict[str, Any]:
    """Run statements in a new module and return its variables.

    Args:
        source: the statements; a common indentation is removed.
        file, line: their place, for tracebacks.
    """
    name = f"example_{next(_numbers)}"
    with module(name, file or f"{name}.py") as made:
        await run_in(made, source, line=line)
        return vars(made)


async def run_in(made: ModuleType, source: str, *, line: int = 1) -> None:
    """Run further statements in a module."""
    tree = ast.parse("\n" * (line - 1) + dedent(source), made.__file__ or "<example>")
    code = compile(tree, made.__file__ or "<example>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, vars(made))  # a module's code, written in this repository
    if inspect.iscoroutine(result):
        await result
