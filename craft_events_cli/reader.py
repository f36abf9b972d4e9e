"""Whoever reads stdout through a pipe: a run without an end ends when it has gone."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from craft_events_cli import terminal


@contextmanager
def while_read() -> Iterator[None]:
    """End the block when the reader of a pipe goes away, even while there is nothing to write.

    A pipe whose reader has gone is reported as readable at its writing end (poll(2), POLLERR).

    Raises:
        StdoutClosed: it has gone.
    """
    import asyncio  # here, since no help page needs it

    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    descriptor = _pipe()
    has_gone = False

    def end() -> None:
        nonlocal has_gone
        has_gone = True
        loop.remove_reader(descriptor)
        if task is not None:
            task.cancel()

    if descriptor >= 0:
        loop.add_reader(descriptor, end)
    try:
        yield
    except asyncio.CancelledError:
        if has_gone and task is not None and not task.uncancel():
            raise terminal.StdoutClosed from None
        raise
    finally:
        if descriptor >= 0:
            loop.remove_reader(descriptor)


def _pipe() -> int:
    """Return the descriptor of stdout where it is a pipe, else -1."""
    with suppress(OSError, ValueError, AttributeError):
        descriptor = terminal.stdout().fileno()
        return descriptor if stat.S_ISFIFO(os.fstat(descriptor).st_mode) else -1
    return -1
