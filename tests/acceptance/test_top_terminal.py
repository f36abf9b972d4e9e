"""`craft-events top` on a real terminal: every way to end it leaves the terminal as it was."""

from __future__ import annotations

import signal
import termios
from collections.abc import Callable, Iterator
from typing import Any, Final

import pexpect
import pytest

from tests.support.conditions import until
from tests.support.dead_letters import GRAVEYARD, HAUNTED, states
from tests.support.history import Log, opened
from tests.support.processes import PROGRAM

pytestmark = pytest.mark.slow
TIMEOUT: Final = 90
RESTORED: Final = ("\x1b[?1049l", "\x1b[?1003l", "\x1b[?25h", "\x1b[?2004l")
"""Alternate screen left, mouse off, cursor shown, bracketed paste off."""


@pytest.fixture
def log(embedded_uri: str, database_name: str) -> Iterator[Log]:
    with opened(embedded_uri, database_name) as log:
        log.insert(*GRAVEYARD, HAUNTED)
        yield log


def started(log: Log) -> pexpect.spawn:
    words = ["top", "--uri", log.uri, "--database", log.database]
    return pexpect.spawn(PROGRAM, words, dimensions=(30, 120), encoding="utf-8", timeout=TIMEOUT, env=None)


def modes(child: pexpect.spawn) -> list[Any]:
    return termios.tcgetattr(child.child_fd)[:4]


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (lambda child: child.send("q"), 0),
        (lambda child: child.send("\x03"), 130),
        (lambda child: child.kill(signal.SIGINT), 130),
        (lambda child: child.kill(signal.SIGTERM), 143),
        (lambda child: child.kill(signal.SIGHUP), 129),
    ],
    ids=["q", "Ctrl-C", "SIGINT", "SIGTERM", "SIGHUP"],
)
def test_every_end_leaves_the_terminal_as_it_was(log: Log, end: Callable[[pexpect.spawn], object], code: int) -> None:
    child = started(log)
    before = modes(child)
    child.expect("Overview")
    child.expect("Quit")
    assert modes(child) != before, "no echo, no line editing"
    end(child)
    child.expect(pexpect.EOF)
    shown = child.before
    assert modes(child) == before
    child.close()
    assert child.exitstatus == code, shown
    assert all(sequence in shown for sequence in RESTORED)
    assert "Traceback" not in shown


def test_the_keys_of_a_terminal_act(log: Log) -> None:
    child = started(log)
    child.expect("Quit")
    child.send("4")
    child.expect("dead deliveries, by error")
    child.expect("Retry")
    child.send("r")
    child.expect("get a fresh budget")
    child.send("y")
    until(lambda: states(log, 1) == ["done", "pending"], seconds=TIMEOUT)
    child.send("q")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert states(log, 1) == ["done", "pending"]
