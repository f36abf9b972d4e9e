"""What can be told about a handler before it is ever called."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def check_handler(function: object) -> None:
    """Refuse, with a `TypeError` that shows the fix, what cannot be called with an event."""
    if not callable(function):
        raise TypeError(f"a handler is a function that takes the event: async def handler(event); not {function!r}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{function!r} yields, so calling it runs nothing; a handler returns: async def handler(event)")
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        raise TypeError(
            f"a handler is called with the event and nothing else: async def handler(event); {function!r} "
            f"cannot be called so"
        ) from None
    except ValueError:
        return  # some built-in callables do not tell how they are called


def is_async(function: Callable[..., Any]) -> bool:
    """Tell whether calling a function, a method, a partial or a callable object gives a coroutine."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)
