"""Records the way of a call through the library: the calls from module to module, in this thread.

A profile function receives each function call. A step is a call from one module into another; the caller is the
nearest frame of the library, unless code of an application is in between. A coroutine is entered where it is created
and not again where it is resumed. A return is a step into a module that the way has entered before.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from configparser import ConfigParser
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from types import CodeType, FrameType
from typing import Any, Final

LIBRARY: Final = "craft_easy.core.events."
_PLAIN: Final = frozenset(sys.stdlib_module_names) | {"pymongo", "bson", "pydantic", "pydantic_core"}
"""Packages that a call passes through; every other is an application."""


@dataclass(frozen=True, slots=True)
class Step:
    """A call from one module of the library into another; `caller` is empty for calls by the event loop or a user."""

    caller: str
    callee: str


@dataclass(slots=True)
class Road:
    """The steps of one call, in order."""

    steps: list[Step] = field(default_factory=list)

    def returns(self, ignored: tuple[str, ...] = ()) -> list[Step]:
        """Return the steps into modules that had been entered before; a step that is repeated at once counts once."""
        entered: set[str] = set()
        found = []
        for step, _ in groupby(step for step in self.steps if not step.callee.startswith(ignored or "-")):
            if step.callee in entered:
                found.append(step)
            entered.add(step.callee)
        return found


class Recorder:
    """Receives every call of the thread from `watching` on, and records those during `road`."""

    def __init__(self) -> None:
        self._starts: dict[CodeType, int] = {}
        self._road: Road | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Receive calls; a coroutine has to be created inside to be distinguished from a resumed one."""
        former = sys.getprofile()
        sys.setprofile(self._see)
        try:
            yield
        finally:
            sys.setprofile(former)

    @contextmanager
    def road(self) -> Iterator[Road]:
        """Record the calls of this block."""
        self._road = road = Road()
        try:
            yield road
        finally:
            self._road = None

    def _see(self, frame: FrameType, event: str, _argument: Any) -> None:
        if event != "call":
            return
        callee = _module(frame)
        if not callee.startswith(LIBRARY):
            return
        is_start = self._starts.setdefault(frame.f_code, frame.f_lasti) == frame.f_lasti
        if self._road is None or not is_start or frame.f_code.co_name == "<module>":
            return
        caller = _caller(frame)
        if caller != callee:
            self._road.steps.append(Step(caller.removeprefix(LIBRARY), callee.removeprefix(LIBRARY)))


def _caller(frame: FrameType) -> str:
    above = frame.f_back
    while above is not None:
        module = _module(above)
        if module.startswith(LIBRARY):
            return module
        if module.partition(".")[0] not in _PLAIN:
            return ""
        above = above.f_back
    return ""


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def layers(importlinter: str) -> dict[str, int]:
    """Return the depth of each package and module of the library in the linter's contract; 0 is the top."""
    parser = ConfigParser()
    parser.read_string(importlinter)
    rows = parser["importlinter:contract:library"]["layers"].split("\n")
    names = [[name.strip() for name in row.replace(":", "|").split("|")] for row in rows if row.strip()]
    return {name: depth for depth, row in enumerate(names) for name in row}


def uphill(road: Road, depths: Mapping[str, int]) -> set[Step]:
    """Return the steps into a higher layer, or into a neighbour of the same one."""

    def is_uphill(step: Step) -> bool:
        caller, callee = (module.partition(".")[0] for module in (step.caller, step.callee))
        return bool(caller) and caller != callee and depths[callee] <= depths[caller]

    return {step for step in road.steps if is_uphill(step)}
