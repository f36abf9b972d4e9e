"""The embedded log in real processes: shared, killed, orphaned, and without loss of acknowledged writes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest
from pymongo import WriteConcern
from pymongo.errors import PyMongoError

from craft_easy.core.events import embedded
from craft_easy.core.events.embedded import server
from craft_easy.core.events.embedded.directory import Directory, Note
from craft_easy.core.events.errors import EmbeddedLogError
from tests.acceptance.embedded_log import client_of, is_served, numbers_in
from tests.support.conditions import freeze, until

pytestmark = pytest.mark.slow

USER = """
import sys
from craft_easy.core.events import embedded
from craft_easy.core.events.embedded import server

def halt(*_args, **_keywords):
    print("halted", flush=True)
    sys.stdin.read()

{patch}
with embedded.join(sys.argv[1]) as log:
    print(log.pid, log.uri, flush=True)
    sys.stdin.read()
"""


class User:
    """A process that joins a directory and stays until it is asked to leave, or killed."""

    def __init__(self, directory: Path, *, patch: str = "") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", USER.format(patch=patch), str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def said(self) -> str:
        """Return the next line of its output."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def server_pid(self) -> int:
        """Return the process of the server that it has joined."""
        return int(self.said().split()[0])

    def leave(self) -> int:
        """Make it leave and end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(60)

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self.process.kill()
        self.process.wait(60)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        with self.process:
            pass


def test_two_starters_at_once_share_one_server(directory: Path) -> None:
    with User(directory) as first, User(directory) as second, User(directory) as third:
        assert first.server_pid() == second.server_pid() == third.server_pid()
        assert (first.leave(), second.leave()) == (0, 0)
        assert is_served(directory)
        assert third.leave() == 0
        assert not is_served(directory)


def test_threads_of_one_process_share_it_too(directory: Path) -> None:
    logs: list[embedded.EmbeddedLog] = []
    threads = [threading.Thread(target=lambda: logs.append(embedded.join(directory))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({log.uri for log in logs}) == 1
    assert [log.leave() for log in logs] == [False, False, False, True]
    assert not is_served(directory)


def test_a_killed_starters_server_is_joined_by_the_next_who_stops_it(directory: Path) -> None:
    with User(directory) as starter:
        pid = starter.server_pid()
        place = Directory.open(directory)
        with place.gate(0):  # so that the keeper waits
            starter.kill()
            place.enter(0)
        with embedded.join(directory) as log:
            assert log.pid == pid
            place.close()
    assert not is_served(directory)


def test_a_user_that_is_killed_or_terminated_leaves_no_server_running(directory: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with User(directory) as one, User(directory) as other:
            one.server_pid(), other.server_pid()
            for user in (one, other):
                assert is_served(directory)
                user.process.send_signal(number)
                assert user.process.wait(60) == -number
            until(lambda: not is_served(directory))
    with embedded.join(directory) as log:
        assert numbers_in(log) == set()


MOMENTS = {
    "before the server's process is started": "server.subprocess.run = halt",
    "before the wait for the server": "server._answering = halt",
    "before the server gets the nonce": "server._introduce = halt",
    "before the log is returned": "embedded.EmbeddedLog = halt",
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_starter_killed_at_any_moment_blocks_no_later_start(directory: Path, moment: str) -> None:
    with User(directory, patch=MOMENTS[moment]) as starter:
        assert starter.said() == "halted"
        starter.kill()
    with embedded.join(directory) as log, client_of(log) as client:
        assert client.admin.command("ping")["ok"]
        assert client.admin.command("serverStatus")["pid"] == log.pid
    assert not is_served(directory)


def test_an_interrupted_start_leaves_no_server_behind(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> Note:
        raise KeyboardInterrupt

    monkeypatch.setattr(server, "_answering", interrupt)
    with pytest.raises(KeyboardInterrupt):
        embedded.join(directory)
    assert not is_served(directory)


def test_a_stale_note_is_ignored_and_its_process_is_not_touched(directory: Path) -> None:
    Directory.open(directory).close()
    with User(directory.parent / "other") as bystander:
        bystander.said()
        stale = {"pid": bystander.process.pid, "port": 1, "nonce": "0" * 32}
        (directory / "server.json").write_text(json.dumps(stale))
        with embedded.join(directory) as log:
            assert log.pid != bystander.process.pid
        assert bystander.leave() == 0, "it was not killed instead of the server"


def test_a_port_that_now_belongs_to_a_stranger_is_not_joined(directory: Path) -> None:
    with embedded.join(directory) as log:
        port = int(log.uri.split(":")[2].split("/")[0])
        os.kill(log.pid, signal.SIGKILL)
        until(lambda: not log.is_running())
    with embedded.join(directory.parent / "stranger", port=port) as stranger:
        with embedded.join(directory) as log:
            assert log.uri != stranger.uri
            assert log.pid != stranger.pid
        assert stranger.is_running()


def test_a_living_server_whose_note_names_a_strangers_port_is_not_taken_for_the_stranger(directory: Path) -> None:
    with embedded.join(directory.parent / "stranger") as stranger, client_of(stranger) as client:
        before = list(client[server.DATABASE].server.find())
        place = Directory.open(directory)
        port = int(stranger.uri.split(":")[2].split("/")[0])
        (directory / "server.json").write_text(json.dumps({"pid": os.getpid(), "port": port, "nonce": "0" * 32}))
        with place.lock_for_server(0), pytest.raises(EmbeddedLogError, match="does not answer") as caught:
            embedded.join(directory, timeout=0.1)
        assert str(directory / "server.log") in str(caught.value.hint)
        assert list(client[server.DATABASE].server.find()) == before, "nothing was written to the other server"
        (directory / "server.json").unlink()
        place.close()


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-x\r\n", b"\xff" * 64, b"\x14\0\0\0" + b"\0" * 40])
def test_a_port_with_another_protocol_is_not_a_server(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(1 << 16)
                        connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        assert not server.is_answering(listener.getsockname()[1], 1)


def test_a_taken_port_makes_way_for_another(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free_port = server._free_port
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        taken = stranger.getsockname()[1]
        ports = iter([taken, taken])
        monkeypatch.setattr(server, "_free_port", lambda: next(ports, None) or free_port())
        with embedded.join(directory) as log:
            assert f":{taken}/" not in log.uri


def test_a_chosen_port_that_is_in_use_is_an_error(directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        taken = stranger.getsockname()[1]
        with pytest.raises(EmbeddedLogError, match=f"cannot listen on port {taken}: another program does"):
            embedded.join(directory, port=taken)


def test_a_running_log_is_not_moved_to_another_port(directory: Path) -> None:
    with embedded.join(directory) as log, pytest.raises(EmbeddedLogError, match="runs already, on port"):
        embedded.join(directory, port=1 + int(log.uri.split(":")[2].split("/")[0]))


def test_a_server_that_does_not_come_up_is_quoted(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "find_program", lambda: ["/bin/sh", "-c", "echo the disk is tired >&2; exit 3", "sh"])
    with pytest.raises(EmbeddedLogError, match="did not start: the disk is tired") as caught:
        embedded.join(directory)
    assert caught.value.hint == f"its log is {directory / 'server.log'}"


def test_a_hanging_server_is_reported_and_not_killed(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "ANSWER_SECONDS", 0.1)
    with embedded.join(directory) as log:
        freeze(log.pid)
        with pytest.raises(EmbeddedLogError, match=rf"runs \(process {log.pid}, port \d+\) and does not answer"):
            embedded.join(directory, timeout=0.1)
        os.kill(log.pid, signal.SIGCONT)
        with embedded.join(directory) as again:
            assert again.pid == log.pid


def test_a_server_that_does_not_stop_is_killed(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = embedded.join(directory)
    freeze(log.pid)
    monkeypatch.setattr(server, "STOP_SECONDS", 0.2)
    assert log.leave()
    until(lambda: not is_served(directory))


def test_data_outlives_a_restart_and_the_port_stays(directory: Path) -> None:
    with embedded.join(directory) as log, client_of(log) as client:
        client.test.numbers.insert_many([{"n": n} for n in range(1_000)])  # not journaled: stopping writes it
        uri = log.uri
    assert not (directory / "server.json").exists()
    with embedded.join(directory) as log:
        assert numbers_in(log) == set(range(1_000))
        assert log.uri == uri


def test_acknowledged_events_survive_a_kill_of_the_server(directory: Path) -> None:
    acknowledged: list[int] = []
    enough = threading.Event()

    def write(log: embedded.EmbeddedLog) -> None:
        durable = WriteConcern("majority", j=True)
        with client_of(log) as client:
            numbers = client.test.get_collection("numbers", write_concern=durable)
            while not enough.is_set():
                n = len(acknowledged)
                with suppress(PyMongoError):
                    numbers.insert_one({"n": n})
                    acknowledged.append(n)

    with embedded.join(directory) as log:
        writer = threading.Thread(target=write, args=(log,))
        writer.start()
        until(lambda: len(acknowledged) >= 200)
        os.kill(log.pid, signal.SIGKILL)
        until(lambda: not log.is_running())
        before = len(acknowledged)
        with embedded.join(directory) as restarted:
            until(lambda: len(acknowledged) > before, seconds=40)  # it uses the same port, so the driver finds it
            enough.set()
            writer.join()
            assert restarted.pid != log.pid
            assert numbers_in(restarted) >= set(acknowledged)
    assert not is_served(directory)


def test_it_listens_on_the_loopback_address_only(directory: Path) -> None:
    with embedded.join(directory) as log:
        port = int(log.uri.split(":")[2].split("/")[0])
        assert log.uri.startswith("mongodb://127.0.0.1:")
        for address in ("127.0.0.2", socket.gethostbyname(socket.gethostname())):
            if address != "127.0.0.1":
                with pytest.raises(OSError, match=r"refused|timed out|assign"):
                    socket.create_connection((address, port), timeout=1).close()


def test_stray_configuration_files_are_not_read(directory: Path, tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / ".secantus"):
        place.mkdir(exist_ok=True)
        (place / "secantusd.toml").write_text('[server]\nhost = "0.0.0.0"\nno_such_setting = 1\n')
    done = subprocess.run(
        [sys.executable, "-c", USER.format(patch=""), str(directory)],
        cwd=tmp_path,
        env=os.environ | {"HOME": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "mongodb://127.0.0.1:" in done.stdout


def test_transactions_and_change_streams_work_through_the_address(directory: Path) -> None:
    with embedded.join(directory) as log, client_of(log) as client:
        numbers = client.test.numbers
        numbers.insert_one({"n": 0})
        with numbers.watch() as stream:
            with client.start_session() as session, session.start_transaction():
                numbers.insert_one({"n": 1}, session=session)
            assert stream.next()["fullDocument"]["n"] == 1


def test_the_server_has_no_parent_and_its_own_session(directory: Path) -> None:
    with embedded.join(directory) as log:
        assert os.getsid(log.pid) != os.getsid(0)
        with pytest.raises(ChildProcessError):
            os.waitpid(log.pid, os.WNOHANG)


def test_a_fork_inherits_no_share(directory: Path) -> None:
    log = embedded.join(directory)
    child = os.fork()
    if child == 0:
        os._exit(1 if log.leave() else 0)
    assert os.waitpid(child, 0)[1] == 0
    assert log.is_running()
    assert log.leave()


def test_a_user_that_does_not_leave_is_removed_at_exit(directory: Path) -> None:
    forgetful = "import sys\nfrom craft_easy.core.events import embedded\nembedded.join(sys.argv[1])"
    subprocess.run([sys.executable, "-c", forgetful, str(directory)], check=True)
    assert (directory / "last.json").exists()
    assert not is_served(directory)


def test_the_server_of_a_removed_directory_is_stopped_too(directory: Path) -> None:
    log = embedded.join(directory)
    place = Directory.open(directory)
    shutil.rmtree(directory)
    assert log.leave()
    assert not place.is_served()
    place.close()


def test_leaving_twice_is_leaving_once(directory: Path) -> None:
    with embedded.join(directory) as first, embedded.join(directory) as second:
        assert not second.leave()
        assert not second.leave()
        assert not second.is_running()
        assert first.is_running()


def test_the_keeper_imports_no_driver_and_no_module_imports_the_server() -> None:
    code = "import sys; from craft_easy.core.events.embedded import server; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"pymongo", "bson", "motor", "secantus", "pydantic"} & set(done.stdout.split())


def test_joining_what_runs_is_fast(directory: Path) -> None:
    with embedded.join(directory):
        took = min(_seconds(lambda: embedded.join(directory).leave()) for _ in range(5))
    assert took < 1  # a start takes longer on any machine that is slow enough for this


def _seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began
