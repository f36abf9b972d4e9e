"""Named points of the protocols that keep events safe; the tests kill the process there.

In production a point does nothing, and nothing in the environment changes that: only a call of `install` does.
"""

from __future__ import annotations

from collections.abc import Callable

Hook = Callable[[str], None]


def _do_nothing(point: str) -> None: ...


_hook: Hook = _do_nothing


def kill_point(point: str) -> None:
    """Mark a point; `….sent` is just before a request, `….acknowledged` just after its reply."""
    _hook(point)


def install(hook: Hook) -> None:
    """Call a hook with the name of each point that the process reaches from now on; for tests."""
    global _hook
    _hook = hook
