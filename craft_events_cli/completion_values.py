"""The hidden command that the completion scripts call for values: `completion-values KIND PREFIX LINE`,
KIND one of tenant, type, handler, env.

It answers within 300 ms, and with nothing where not all values were found by then: a shell would take the only value of
a part for the only one there is. It writes nothing to stderr, always exits 0, loads no handler module and starts no
server. A value that is not `[A-Za-z0-9._:@/+-]+` is not offered: no tenant's name can run code at TAB.
"""

from __future__ import annotations

import _thread
import os
import re
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final, NoReturn, cast

DEADLINE: Final = 0.28
"""Seconds from the start of the process; the rest of the 300 ms is for the shell."""
TIMEOUT_MS: Final = 200
PLAIN: Final = re.compile(r"[A-Za-z0-9._:@/+-]+")
_CONNECTION: Final = ("env", "uri", "database", "collection")


MAX_VALUES: Final = 1_000


def completion_values(args: Sequence[str]) -> NoReturn:
    """Print the values and end the process at once, without waiting for a driver's threads."""
    found: set[str] = set()
    answer = threading.Lock()
    _thread.start_new_thread(_answer_after, (max(0.0, DEADLINE - _age()), answer))
    try:
        kind, prefix, line = args
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for the rest of the process
        found = set(_known(kind, prefix, line))
    finally:
        _answer(found, answer)


def _age() -> float:
    """Return the age of this process in seconds (proc(5)); without /proc its processor time."""
    try:
        with open("/proc/self/stat", "rb") as file:
            started = int(file.read().rpartition(b")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return time.process_time()


def _answer_after(seconds: float, answer: threading.Lock) -> NoReturn:
    time.sleep(seconds)
    _answer(set(), answer)


def _answer(found: set[str], answer: threading.Lock) -> NoReturn:
    """Print the values, once, and end the process."""
    answer.acquire()
    try:
        os.write(1, "".join(f"{value}\n" for value in sorted(plain(found))[:MAX_VALUES]).encode("ascii"))
    finally:
        os._exit(0)


def plain(values: Iterable[str]) -> list[str]:
    """Return the values that are safe in every shell."""
    return [value for value in values if PLAIN.fullmatch(value)]


def connection_flags(line: str) -> dict[str, str] | None:
    """Return `--env`, `--uri`, `--database` and `--collection` of a command line that is still being typed.

    None where one of them contains something that only the shell could expand: nothing is evaluated here.
    """
    flags: dict[str, str] = {}
    words = _words(line)
    for index, word in enumerate(words):
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or name not in _CONNECTION:
            continue
        if not equals:
            value = words[index + 1] if index + 1 < len(words) else ""
        if any(mark in value for mark in "$`"):
            return None
        flags[name] = value
    return flags


def _words(line: str) -> list[str]:
    import shlex

    for ending in ("", "'", '"'):
        try:
            return shlex.split(line + ending)
        except ValueError:
            continue
    return []


def _known(kind: str, prefix: str, line: str) -> Iterable[str]:
    from pathlib import Path

    from craft_easy.core.events.settings import environments, resolve

    flags = connection_flags(line)
    if prefix and not PLAIN.fullmatch(prefix):
        return []
    if kind == "env":
        return [one.name for one in environments(Path.cwd()) if one.name.startswith(prefix)]
    if kind not in ("tenant", "type", "handler") or flags is None:
        return []
    settings = resolve(flags, directory=Path.cwd())
    from craft_easy.core.events.operations.completion import known_values

    return known_values(settings, cast("Any", kind), prefix, timeout_ms=TIMEOUT_MS)
