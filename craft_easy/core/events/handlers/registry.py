"""The registry of subscriptions: handlers with their ids and options, and the plan for an event type."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import BuiltinFunctionType, CodeType, MethodType, ModuleType
from typing import Any, Final

from craft_easy.core.events.handlers.middleware import MiddlewareStack
from craft_easy.core.events.model.retry import RetryPolicy
from craft_easy.core.events.model.selection import compile_pattern

MAX_PLANS: Final = 1024
"""The maximum number of plans that are kept: event types may come from outside, so their number has no limit."""


@dataclass(frozen=True, slots=True, eq=False)
class Handler:
    """A callable that reacts to events, and the options that it runs with.

    Args:
        id: the name of its deliveries in the log.
        function: the callable itself.
        is_async: calling it returns an awaitable; a plain one blocks its caller.
        background: `publish` does not wait for it.
        aliases: ids that it had before.
        replayable: a replay may run it again.
        timeout: seconds that one attempt may take.
        retry: None for the default policy.
        file, line: the location of its code.
        origin: identifies the execution of the module that defined it; see `origin`.
        middleware: that of its bus, around each of its deliveries.
    """

    id: str
    function: Callable[..., Any]
    is_async: bool
    background: bool = False
    aliases: tuple[str, ...] = ()
    replayable: bool = True
    timeout: float | None = None
    retry: RetryPolicy | None = None
    file: str = ""
    line: int = 0
    origin: object = field(default=None, repr=False)
    middleware: MiddlewareStack = field(default_factory=MiddlewareStack, repr=False)

    @property
    def is_threaded(self) -> bool:
        """True if it runs in a thread: a plain function in the background."""
        return self.background and not self.is_async


@dataclass(frozen=True, slots=True)
class Subscription:
    """A pattern and a handler; `order` counts from 1 as they were registered."""

    pattern: str
    handler: Handler
    order: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The handlers of one event type, each once, in registration order; `background` lists those in the background."""

    event_type: str
    handlers: tuple[Handler, ...]
    background: tuple[Handler, ...]

    @classmethod
    def of(cls, event_type: str, handlers: Iterable[Handler]) -> Plan:
        every = tuple(handlers)
        return cls(event_type, every, tuple(handler for handler in every if handler.background))


class _Plans(dict[str, Plan]):
    """The plan of each event type, made when it is first asked for.

    Args:
        handlers_of: returns the handlers of an event type.
    """

    def __init__(self, handlers_of: Callable[[str], Iterable[Handler]]) -> None:
        super().__init__()
        self._handlers_of = handlers_of

    def __missing__(self, event_type: str) -> Plan:
        if len(self) >= MAX_PLANS:
            self.clear()
        plan = self[event_type] = Plan.of(event_type, self._handlers_of(event_type))
        return plan


class Registry:
    """Holds the subscriptions of one bus.

    Args:
        middleware: that of the bus.
    """

    def __init__(self, middleware: MiddlewareStack | None = None) -> None:
        self.middleware = middleware or MiddlewareStack()
        self._subscriptions: dict[tuple[str, str], Subscription] = {}
        self._handlers: dict[str, Handler] = {}
        self.plans = _Plans(self._handlers_of)

    def subscribe(
        self,
        pattern: str,
        function: Callable[..., Any],
        *,
        background: bool = False,
        id: str | None = None,  # noqa: A002 - the design's word
        aliases: Iterable[str] = (),
        replayable: bool = True,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
    ) -> Subscription:
        """Add a subscription.

        A function that is subscribed again under the same pattern replaces its subscription. A function of a reloaded
        module replaces its former self under every pattern.

        Raises:
            TypeError: the function is not a handler, has no lasting id, or has the id of another handler; the message
                shows the fix.
            ValueError: an option cannot be used.
        """
        _check_pattern(pattern)
        check_handler(function)
        file, line = place(function)
        handler = Handler(
            id=handler_id(function) if id is None else _checked_id(id),
            function=function,
            is_async=is_async(function),
            background=background,
            aliases=_checked_aliases(aliases),
            replayable=replayable,
            timeout=_checked_timeout(timeout),
            retry=_checked_retry(retry),
            file=file,
            line=line,
            origin=origin(function),
            middleware=self.middleware,
        )
        self._remove_former(handler, pattern)
        return self._add(pattern, handler)

    def unsubscribe(self, handler: Callable[..., Any] | str, *, pattern: str | None = None) -> int:
        """Remove a handler, by its function or its id, from one pattern or from all; return the number removed."""
        removed = [
            key
            for key, subscription in self._subscriptions.items()
            if _is(subscription.handler, handler) and (pattern is None or subscription.pattern == pattern)
        ]
        self._remove(removed)
        return len(removed)

    def subscriptions(self) -> tuple[Subscription, ...]:
        """Return all subscriptions in registration order."""
        return tuple(self._subscriptions.values())

    def names(self) -> tuple[str, ...]:
        """Return the ids of all handlers, each followed by its aliases."""
        handlers = [subscription.handler for subscription in self.subscriptions()]
        return tuple(dict.fromkeys(name for handler in handlers for name in (handler.id, *handler.aliases)))

    def patterns(self) -> dict[str, tuple[str, ...]]:
        """Return the patterns that each handler is subscribed to, by each id that records may have for it."""
        patterns: dict[str, tuple[str, ...]] = {}
        for subscription in self.subscriptions():
            for name in (subscription.handler.id, *subscription.handler.aliases):
                patterns[name] = (*patterns.get(name, ()), subscription.pattern)
        return patterns

    def handler(self, name: str) -> Handler | None:
        """Return the handler with this id, or otherwise the one with this alias."""
        handlers = [subscription.handler for subscription in self.subscriptions()]
        by_id = (handler for handler in handlers if handler.id == name)
        by_alias = (handler for handler in handlers if name in handler.aliases)
        return next(by_id, None) or next(by_alias, None)

    def plan(self, event_type: str) -> Plan:
        """Return the handlers of an event type; each has the options of its first matching subscription."""
        return self.plans[event_type]

    def _handlers_of(self, event_type: str) -> Iterator[Handler]:
        seen = set()
        for subscription in self.subscriptions():
            handler = subscription.handler
            if handler.id not in seen and compile_pattern(subscription.pattern).matches(event_type):
                seen.add(handler.id)
                yield handler

    def _remove_former(self, handler: Handler, pattern: str) -> None:
        """Remove the subscriptions that a reload makes obsolete; the one under the same pattern keeps its place."""
        former = self._handlers.get(handler.id)
        if former is None or _is_same(former.function, handler.function):
            return
        if former.file != handler.file or former.origin is handler.origin:
            raise TypeError(_clash(former, handler))
        self._remove([key for key in self._subscriptions if key[1] == handler.id and key[0] != pattern])

    def _add(self, pattern: str, handler: Handler) -> Subscription:
        key = pattern, handler.id
        former = self._subscriptions.get(key)
        order = len(self._subscriptions) + 1 if former is None else former.order
        added = self._subscriptions[key] = Subscription(pattern, handler, order)
        self._handlers[handler.id] = handler
        self.plans.clear()
        return added

    def _remove(self, keys: Iterable[tuple[str, str]]) -> None:
        for key in keys:
            del self._subscriptions[key]
        kept = [
            replace(subscription, order=order) for order, subscription in enumerate(self._subscriptions.values(), 1)
        ]
        self._subscriptions = {(subscription.pattern, subscription.handler.id): subscription for subscription in kept}
        self._handlers = {subscription.handler.id: subscription.handler for subscription in kept}
        self.plans.clear()


def _is(handler: Handler, wanted: Callable[..., Any] | str) -> bool:
    return handler.id == wanted if isinstance(wanted, str) else _is_same(handler.function, wanted)


def _is_same(function: Callable[..., Any], other: Callable[..., Any]) -> bool:
    """Compare callables by identity, and bound methods, which Python makes at each look-up, by equality."""
    are_methods = isinstance(function, MethodType) and isinstance(other, MethodType)
    return function is other or (are_methods and function == other)


def _clash(former: Handler, new: Handler) -> str:
    return (
        f"two functions under one handler id, {new.id!r}: {former.file}:{former.line} and {new.file}:{new.line}; "
        f'rename one, or give it an id of its own: id="{new.id}_2"'
    )


def _check_pattern(pattern: object) -> None:
    if not isinstance(pattern, str):
        raise TypeError(
            f"the pattern comes first, as a string: subscribe('payment.*', handler), @event_handler('payment.*'); "
            f"not {pattern!r}"
        )
    compile_pattern(pattern)


def _checked_id(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError(f"a handler's id must be a string, not {name!r}")
    if not name:
        raise ValueError("a handler's id must not be empty")
    return name


def _checked_aliases(aliases: Iterable[str]) -> tuple[str, ...]:
    if isinstance(aliases, str):
        raise TypeError(f"aliases must be a collection of ids: aliases=({aliases!r},)")
    return tuple(_checked_id(alias) for alias in aliases)


def _checked_timeout(timeout: float | None) -> float | None:
    if timeout is not None and not timeout > 0:
        raise ValueError(f"timeout must be a positive number of seconds, or None, not {timeout!r}")
    return timeout


def _checked_retry(retry: RetryPolicy | None) -> RetryPolicy | None:
    if retry is not None and not isinstance(retry, RetryPolicy):
        raise TypeError(f"retry must be a policy, retry=RetryPolicy(max_attempts=5), not {retry!r}")
    return retry


# Checks of a handler before it is ever called


def check_handler(function: object) -> None:
    """Refuse an object that cannot be called with an event, with a `TypeError` that shows the fix."""
    if not callable(function):
        raise TypeError(f"a handler is a function that takes the event: async def handler(event); not {function!r}")
    if any(inspect.isgeneratorfunction(code) or inspect.isasyncgenfunction(code) for code in _called(function)):
        raise TypeError(f"{function!r} yields, so calling it runs nothing; a handler returns: async def handler(event)")
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        raise TypeError(
            f"a handler is called with the event and nothing else: async def handler(event); {function!r} "
            f"cannot be called like that"
        ) from None
    except ValueError:
        return  # some built-in callables have no signature


def is_async(function: Callable[..., Any]) -> bool:
    """Return whether calling a function, a method, a partial or a callable object returns a coroutine."""
    return any(inspect.iscoroutinefunction(code) for code in _called(function))


def _called(function: Callable[..., Any]) -> tuple[Callable[..., Any], ...]:
    """Return what a call runs: a function, method or partial itself, and the `__call__` of a callable object."""
    return function, type(_named(function)).__call__


# The stable id of a handler, `module:qualname`, and the location of its code


def handler_id(function: Callable[..., Any]) -> str:
    """Return the id of a function or method that its module can name.

    Raises:
        TypeError: it is a lambda, a partial, a local function or a callable object; the message shows what to type.
    """
    kind = _without_name(function)
    if kind is not None:
        raise TypeError(
            f"{kind} has no lasting name, and its deliveries are stored under the id of their handler; give it one: "
            f'subscribe(pattern, {_shown(function)}, id="orders.{_hint(function)}")'
        )
    return f"{module_name(function)}:{function.__qualname__}"


def module_name(function: Callable[..., Any]) -> str:
    """Return the name of a function's module; for `__main__` the name that other modules would import."""
    name: str = function.__module__
    return _main_name() if name == "__main__" else name


def place(function: Callable[..., Any]) -> tuple[str, int]:
    """Return the file and the line of a callable's code; ("", 0) where it is not written in Python."""
    code = _code(function)
    return ("", 0) if code is None else (code.co_filename, code.co_firstlineno)


def origin(function: Callable[..., Any]) -> object:
    """Return an object that identifies the execution of a callable's module.

    A reload, and an import after a removal from `sys.modules`, give the module a new spec. An interactive session has
    no file, and each of its definitions counts as an execution of its own.
    """
    module = sys.modules.get(getattr(_named(function), "__module__", None) or "")
    if module is not None and module.__name__ == "__main__" and not hasattr(module, "__file__"):
        return function
    return getattr(module, "__spec__", None)


def _without_name(function: Callable[..., Any]) -> str | None:
    """Describe a callable that has no lasting name; return None if it has one."""
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
