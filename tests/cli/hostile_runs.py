"""Runs with hostile input: each ends with a code, and with one clear message."""

import subprocess

from tests.cli.conftest import Ended


def ended_properly(ended: Ended) -> bool:
    """Return whether a run ended properly: an exit code of ours, few lines, and no control character."""
    lines = ended.err.splitlines()
    errors = [index for index, line in enumerate(lines) if line.startswith("error: ")]
    shown = (ended.out + ended.err).replace("\n", "").replace("\r", "")
    return (
        ended.code in (0, 2, 3, 5, 6)
        and all(not line.startswith("error: unexpected ") for line in lines if "unexpected extra argument" not in line)
        and all(len(lines) - index <= 3 for index in errors)
        and len(ended.err) < 10_000
        and shown.isprintable()
        and "Traceback" not in ended.err
    )


def ended(process: subprocess.Popen[bytes]) -> Ended:
    out, err = process.communicate(timeout=60)
    return Ended(process.returncode, (out or b"").decode(), err.decode())
