"""stdout, stderr and signals of a real process: closed pipes, full disks, SIGINT and SIGTERM."""

import gc
import os
import signal
import subprocess
import warnings
from pathlib import Path

import pytest

from craft_events_cli import lifecycle
from tests.cli.conftest import Process

FULL = Path("/dev/full")


def ended(process: subprocess.Popen[bytes]) -> tuple[int, bytes, bytes]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def closed_pipe() -> int:
    """Return the writing end of a pipe without a reader."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def test_a_reader_that_goes_away_ends_what_only_reads_with_exit_0(process: Process) -> None:
    running = process("lines")
    assert running.stdout is not None
    assert running.stderr is not None
    assert running.stdout.readline() == b"0\n"
    running.stdout.close()
    assert running.wait(60) == 0
    with running.stderr:
        assert running.stderr.read() == b""


def test_a_pipe_that_is_closed_from_the_start_is_not_an_error_either(process: Process) -> None:
    for count in ("1", "1000000"):
        code, _, err = ended(process("lines", "--count", count, stdout=closed_pipe()))
        assert code == 0
        assert err == (b"summary\n" if count == "1" else b"")


def test_an_acting_command_continues_silently_and_keeps_its_code(process: Process) -> None:
    code, _, err = ended(process("lines", "--acts", stdout=closed_pipe()))
    assert (code, err) == (3, b"summary\n")


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
@pytest.mark.parametrize("count", ["1", "1000000"])
def test_a_full_disk_is_a_clear_error(process: Process, count: str) -> None:
    with FULL.open("wb") as full:
        code, _, err = ended(process("lines", "--count", count, stdout=full))
    assert code == 1
    assert err.splitlines()[-1] == b"error: cannot write to standard output: No space left on device"


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
def test_an_acting_command_continues_with_a_full_disk_and_keeps_its_code(process: Process) -> None:
    with FULL.open("wb") as full:
        code, _, err = ended(process("lines", "--acts", stdout=full))
    assert code == 3
    assert err == b"summary\nerror: cannot write to standard output: No space left on device\n"


@pytest.mark.parametrize("descriptors", [(1,), (2,), (0, 1, 2)])
def test_closed_descriptors_are_not_an_error(process: Process, descriptors: tuple[int, ...]) -> None:
    def close() -> None:
        for descriptor in descriptors:
            os.close(descriptor)

    assert ended(process("lines", "--count", "5", preexec_fn=close))[0] == 0


def test_a_closed_stderr_stops_nothing(process: Process) -> None:
    code, out, _ = ended(process("lines", "--count", "2", stderr=closed_pipe()))
    assert (code, out) == (0, b"0\n1\n")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
@pytest.mark.parametrize("plain", [[], ["--plain"]])
def test_a_signal_ends_the_run_quietly_with_its_code(
    process: Process, number: signal.Signals, code: int, plain: list[str]
) -> None:
    running = process("wait", *plain, stdin=subprocess.PIPE)
    assert running.stdout is not None
    assert running.stdout.readline() == b"ready\n"
    running.send_signal(number)
    rest, err = running.communicate(timeout=60)
    assert running.returncode == code
    assert err == b""
    assert rest == (b"" if plain else b"cleaned up\n")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_second_signal_ends_what_does_not_want_to_end(process: Process, number: signal.Signals, code: int) -> None:
    running = process("wait", "--stubborn")
    assert running.stdout is not None
    assert running.stdout.readline() == b"ready\n"
    running.send_signal(number)
    assert running.stdout.readline() == b"cleaned up\n"
    running.send_signal(number)
    running.communicate(timeout=60)
    assert running.returncode == code


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_enough_though_a_driver_lost_its_cancellation(
    process: Process, number: signal.Signals, code: int
) -> None:
    running = process(
        "wait", "--forgetful", before="from craft_events_cli import lifecycle; lifecycle.LOST_AFTER = 0.1"
    )
    assert running.stdout is not None
    assert running.stdout.readline() == b"ready\n"
    running.send_signal(number)
    assert running.communicate(timeout=60) == (b"cleaned up\n", b"")
    assert running.returncode == code


@pytest.mark.parametrize(
    "env", [{"LC_ALL": "C"}, {"LC_ALL": "POSIX"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}, {"PYTHONIOENCODING": "ascii"}]
)
def test_every_locale_will_do(process: Process, env: dict[str, str]) -> None:
    code, out, err = ended(process("stub", "--tenant", "ü", "--since", "2h", env=env))
    assert code == 0, err
    assert out.decode().startswith("[Selecting(tenant=[")
    code, _, err = ended(process("stub", "--since", "gestern…", env=env))
    assert code == 2
    assert err.startswith(b"error: --since: ")
    assert rb"\u2026" not in err  # a sign that the encoding lacks has a plain one in its place


def test_bytes_that_are_not_text_are_shown_escaped(process: Process) -> None:
    code, _, err = ended(process("stub", os.fsdecode(b"--no\xff\xfe")))
    assert (code, err.splitlines()[0]) == (2, rb"error: no such option: --no\udcff\udcfe")


def test_output_of_user_code_goes_to_stderr(process: Process) -> None:
    code, out, err = ended(process("stub"))
    assert code == 0
    assert b"a print" not in out
    assert b"a print of the user's code\n" in err


def test_a_signal_before_the_loop_has_begun_leaves_no_coroutine_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never() -> None: ...

    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("asyncio.run", interrupted)
    with pytest.raises(KeyboardInterrupt), warnings.catch_warnings(record=True) as warned:
        lifecycle.run(never())
    gc.collect()
    assert warned == []
