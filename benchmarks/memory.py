"""The peak of a command's resident memory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Final

WITNESS: Final = (
    "import os, subprocess, sys\n"
    "process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
    "_, status, usage = os.wait4(process.pid, 0)\n"
    "print(usage.ru_maxrss)\n"
    "sys.exit(os.waitstatus_to_exitcode(status))"
)
"""An intermediate process: a peak includes the fork, when the process is still as large as its parent."""


def peak(command: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
    """Run a command that must succeed, and return the peak of its resident memory in bytes.

    Args:
        command: a program and its arguments.
        environment: additional environment variables.
    """
    done = subprocess.run(
        [sys.executable, "-c", WITNESS, *command],
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return int(done.stdout) * (1 if sys.platform == "darwin" else 1024)


def report(what: str, few: tuple[int, int], many: tuple[int, int], limit: int) -> bool:
    """Print two peaks, each a number of events and bytes; return whether they differ by less than the limit."""
    growth = many[1] - few[1]
    is_flat = abs(growth) <= limit
    print(
        f"\npeak memory of {what}: {few[1] / 2**20:.1f} MiB at {few[0]:,} events, {many[1] / 2**20:.1f} MiB "
        f"at {many[0]:,}: {growth / 2**20:+.1f} MiB, limit ±{limit >> 20}{'' if is_flat else '  missed'}"
    )
    return is_flat
