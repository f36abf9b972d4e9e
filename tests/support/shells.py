"""Real shells, each on its own terminal, with the completions loaded."""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import pyte

NAMES: Final = ("bash", "zsh", "fish")
COMPLETIONS: Final = Path(__file__).resolve().parents[2] / "completions"
PROMPT: Final = "ready> "
TIMEOUT: Final = 60.0

_COMMANDS: Final = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
_SETUP: Final = {
    "bash": [
        "bind 'set show-all-if-ambiguous on'",
        "bind 'set bell-style none'",
        "bind 'set enable-bracketed-paste off'",
        f"source '{COMPLETIONS}/craft-events.bash'",
        f"PS1='{PROMPT}'",
    ],
    "zsh": [
        "unsetopt beep prompt_sp",
        "unset zle_bracketed_paste",
        f"fpath=('{COMPLETIONS}' $fpath)",
        "autoload -Uz compinit && compinit -D -u",
        f"PS1='{PROMPT}'",
    ],
    "fish": [
        f"source '{COMPLETIONS}/craft-events.fish'",
        "set -g fish_greeting",
        "set -g fish_autosuggestion_enabled 0",
        f"function fish_prompt; printf '{PROMPT}'; end",
    ],
}


def is_installed(name: str) -> bool:
    """Return whether this machine has the shell."""
    return shutil.which(name) is not None


class Shell:
    """An interactive shell; its output is on `screen`."""

    def __init__(self, name: str, directory: Path, path: Sequence[Path | str] = (), columns: int = 200) -> None:
        self.screen = pyte.Screen(columns, 60)
        self._stream = pyte.ByteStream(self.screen)
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            self._become(name, directory, path, columns)
        self._set_up(name)

    def _become(self, name: str, directory: Path, path: Sequence[Path | str], columns: int) -> None:
        try:
            os.chdir(directory)
            environment = {
                "PATH": os.pathsep.join([*map(str, path), os.environ["PATH"]]),
                "HOME": str(directory),
                "TERM": "xterm",
                "LC_ALL": "C.UTF-8",
                "COLUMNS": str(columns),
                "LINES": "60",
            }
            os.execvpe(_COMMANDS[name][0], _COMMANDS[name], environment)
        finally:
            os._exit(127)

    def _set_up(self, name: str) -> None:
        import fcntl
        import struct
        import termios

        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 60, self.screen.columns, 0, 0))
        for number, line in enumerate(_SETUP[name]):
            self.press(f"{line}\n")
            self.press(f"echo 'se'tup-{number}\n")
            self.wait_for(lambda screen, number=number: f"setup-{number}" in screen)  # type: ignore[misc]
        self.press("clear\n")
        self.wait_for(lambda screen: screen.strip() == PROMPT.strip())

    def press(self, text: str) -> None:
        """Send keys; a tab is the TAB key."""
        os.write(self._terminal, text.encode())

    def clear(self) -> None:
        """Clear the command line and the screen."""
        self.settle(0.05)
        self.press("\x05\x15\x0c")
        self.wait_for(lambda screen: screen.strip() == PROMPT.strip())

    def text(self) -> str:
        """Return the text of the screen."""
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    def wait_for(self, condition: Callable[[str], bool], timeout: float = TIMEOUT) -> str:
        """Read until the condition is met, on the screen or by an effect of the shell; return the screen."""
        ends = time.monotonic() + timeout
        while not condition(self.text()):
            self._read(0.02)
            if time.monotonic() > ends:
                raise AssertionError(f"it does not come to what was waited for; the screen:\n{self.text()}")
        return self.text()

    def settle(self, seconds: float = 0.5) -> str:
        """Read until nothing has arrived for this time, to check that a text does *not* appear; return the screen."""
        while self._read(seconds):
            pass
        return self.text()

    def _read(self, seconds: float) -> bool:
        if not select.select([self._terminal], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self._terminal, 65_536)
        except OSError:
            return False
        self._stream.feed(data)
        return bool(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._terminal)
