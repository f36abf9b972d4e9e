"""The command `top`: what it needs before the console is drawn, and whether the terminal is light."""

import os
import pty
import threading

import pytest

from craft_events_cli.commands import top
from craft_events_cli.top import background
from tests.cli.conftest import Cli


def test_without_a_terminal_one_line_names_the_commands_for_a_pipe(cli: Cli) -> None:
    ended = cli("top")
    assert ended.code == 2
    assert ended.err.splitlines()[0] == "error: top needs a terminal"
    assert "craft-events tail" in ended.err


def test_without_textual_one_line_says_how_to_get_it(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(top, "find_spec", lambda name: None)
    ended = cli("top")
    assert ended.code == 2
    assert "pip install 'craft-events[ui]'" in ended.err


@pytest.mark.parametrize(("numbers", "is_light"), [("0;15", True), ("15;0", False), ("0;default;7", True)])
def test_a_terminal_that_sets_its_colours_is_believed(
    monkeypatch: pytest.MonkeyPatch, numbers: str, is_light: bool
) -> None:
    monkeypatch.setenv("COLORFGBG", numbers)
    assert background.is_light() is is_light


@pytest.mark.parametrize(
    ("answer", "is_light"),
    [
        (b"\x1b]11;rgb:ffff/ffff/dddd\x1b\\\x1b[?62;c", True),
        (b"\x1b]11;rgb:00/2b/36\x07\x1b[?62;c", False),
        (b"\x1b[?62;c", False),
        (b"", False),
    ],
)
def test_a_terminal_is_asked_for_its_background(monkeypatch: pytest.MonkeyPatch, answer: bytes, is_light: bool) -> None:
    monkeypatch.delenv("COLORFGBG", raising=False)
    ours, theirs = pty.openpty()
    with open(theirs, "r+b", buffering=0) as terminal:  # closes it
        monkeypatch.setattr("sys.__stdin__", terminal)
        monkeypatch.setattr("sys.__stderr__", terminal)
        thread = threading.Thread(target=lambda: os.read(ours, 100) and os.write(ours, answer))
        thread.start()
        assert background.is_light() is is_light
        thread.join()
    os.close(ours)
