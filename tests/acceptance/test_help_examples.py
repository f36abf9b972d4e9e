"""Every example of every help page runs, in a shop with a log, as an operator would type it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pexpect
import pytest

from craft_events_cli import acting, app
from craft_events_cli.errors import ExitCode
from tests.cli.conftest import Ended
from tests.support.applications import application
from tests.support.commands import PAGES, examples_of
from tests.support.conditions import until
from tests.support.dead_letters import handler, tracked
from tests.support.history import Log, opened, record

ENDLESS: Final = {"tail", "serve", "metrics", "--watch", "--serve"}
"""The options that make a command endless, unless it has a limit."""
ENDS: Final = {"--no-follow"}
ELSEWHERE: Final = {"demo": "tests/acceptance/test_demo.py"}
"""Examples that other tests run, because they take half a minute."""
UNFINISHED: Final = {
    "craft-events stats --max-backlog 1000 --max-age 15m --max-dead 0 -o json",
    "craft-events redispatch --ids-from failed.ndjson -m shop.handlers",
}
"""Examples that end with 3 here, because they find something."""
STUCK: Final = {"craft-events", "redispatch", "handlers", "handlers check", "doctor", "replay"}
"""Examples that may end with 3, because something in the log has no handler, fails or is not well."""

MODULES: Final = {
    "shop/__init__.py": "",
    "shop/handlers.py": "from shop import billing, events, mail, stock\n",
    "shop/events.py": """
from craft_easy.core.events import DomainEvent

class OrderPlaced(DomainEvent):
    event_type: str = "order.placed"
    payment_id: str
    amount: float
""",
    "shop/stock.py": """
from craft_easy.core.events import event_handler

@event_handler("order.placed")
async def reserve(event): ...
""",
    "shop/billing.py": """
from craft_easy.core.events import event_handler

@event_handler("order.placed")
async def charge(event): ...
""",
    "shop/mail.py": """
from craft_easy.core.events import event_handler

@event_handler("order.*", background=True)
async def send(event): ...
""",
    "billing/__init__.py": "",
    "billing/app.py": """
from craft_easy.core.events import event_handler, get_event_bus

bus = get_event_bus()

@event_handler("payment.*")
async def book(event): ...
""",
    "order.json": '{"order_id": "o_1"}',
    "seen.json": '{"user_id": "u_1"}',
    "failed.ndjson": '{"event_id": "019abf3e-77d1-7000-8000-000000000057"}\n',
    "pyproject.toml": "[tool.craft-events.env.prod]\nuri-env = 'CRAFT_EVENTS_URI'\n",
}
ID: Final = "019abf3e-77d1-7000-8000-000000000057"


def examples() -> list[tuple[str, str]]:
    """Return each example with its page."""
    found = [(words or "craft-events", example) for words in PAGES for example in examples_of(words)]
    return [(page, example) for page, example in found if page not in ELSEWHERE and example != "craft-events demo"]


def is_endless(example: str) -> bool:
    words = shlex.split(example, comments=True)
    return bool(ENDLESS & set(words)) and not ENDS & set(words)


def is_console(example: str) -> bool:
    return "top" in example.split() and not is_endless(example)


def is_plain(example: str) -> bool:
    """Return whether an example is one command line without shell syntax."""
    parts = list(shlex.shlex(example, posix=True, punctuation_chars=True))
    return parts[0] == "craft-events" and not any(set(part) <= set("|<>;&()") for part in parts)


EVERY: Final = examples()


@pytest.fixture
def log(embedded_uri: str, database_name: str) -> Iterator[Log]:
    """A log in which each example finds something: a dead delivery, an open event, an old one, events of today."""
    now = datetime.now(UTC).replace(microsecond=0)
    dead = tracked(handler("shop.billing:charge", errors=[_error(now)], finished_at=now))
    waiting = tracked(handler("shop.mail:send", "pending"))
    gone = tracked(handler("shop.legacy:sync", "pending"))
    with opened(embedded_uri, database_name) as log:
        log.insert(
            record(1, event_type="order.placed", event_id=ID, timestamp=now, delivery=dead),
            record(2, event_type="order.placed", timestamp=now, delivery=waiting),
            record(3, event_type="payment.completed", timestamp=now - timedelta(hours=1)),
            record(4, event_type="user.seen", tenant_id="trial", delivery=tracked(handler("shop.mail:send", "done"))),
            record(5, event_type="order.placed", timestamp=now, delivery=gone),
        )
        yield log


def _error(now: datetime) -> dict[str, Any]:
    return {"type": "CardExpired", "message": "card of c_204 expired 2026-09", "at": now, "attempt": 20}


@pytest.fixture
def shop(tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The directory of an operator: handler modules, input files, and a home."""
    for folder in (".local/share/bash-completion/completions", ".zfunc", ".config/fish/completions"):
        (tmp_path / folder).mkdir(parents=True)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    settings = {"URI": log.uri, "DATABASE": log.database, "HANDLERS": "shop.handlers"}
    for name, value in {f"CRAFT_EVENTS_{name}": value for name, value in settings.items()}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with application(tmp_path, MODULES) as directory:
        yield directory


Run = Callable[[str], Ended]


@pytest.fixture
def run(shop: Path, log: Log, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run an example: in this process if it is one plain command, otherwise in a shell; every question is answered."""

    async def yes(*_args: Any, **_options: Any) -> bool:
        return True

    monkeypatch.setattr(acting, "ask", yes)
    monkeypatch.setattr(acting, "is_anybody_there", lambda: True)

    def run(example: str) -> Ended:
        example = re.sub(r"mongodb://db-1/shop", shlex.quote(log.uri), example)
        if is_plain(example):
            capsys.readouterr()
            code = app.run(shlex.split(example)[1:])
            return Ended(code, *capsys.readouterr())
        for tool in ("jq", "zstd"):
            if tool in example.split() and shutil.which(tool) is None:
                pytest.skip(f"{tool} is not installed")
        done = subprocess.run(["/bin/sh", "-c", example], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        return Ended(done.returncode, done.stdout, done.stderr)

    return run


def prepare(example: str, run: Run) -> None:
    """Write the input files of an example, as an earlier example would have."""
    if "import events.ndjson.gz" in example:
        assert run("craft-events export events.ndjson.gz").code == 0
    if "schema check events.json" in example:
        assert run("craft-events schema export events.json").code == 0
    if "--checkpoint tail.checkpoint" in example:
        assert run("craft-events export all.ndjson --checkpoint tail.checkpoint").code == 0


@pytest.mark.parametrize(
    ("page", "example"),
    [(page, example) for page, example in EVERY if not is_endless(example) and not is_console(example)],
    ids=lambda one: one,
)
def test_an_example_runs_as_documented(run: Run, page: str, example: str) -> None:
    prepare(example, run)
    ended = run(example)
    assert "error:" not in ended.err
    assert "Traceback" not in ended.err
    if example in UNFINISHED:
        assert ended.code == ExitCode.UNFINISHED
    else:
        assert ended.code in ((0, ExitCode.UNFINISHED) if page in STUCK else (0,)), ended


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "example"), [(page, example) for page, example in EVERY if is_endless(example)], ids=lambda one: one
)
def test_an_endless_example_runs_until_it_is_stopped(shop: Path, page: str, example: str) -> None:
    said, ready = shop / "said", b"\n" if {"--watch", "metrics"} & set(example.split()) else b"Ctrl-C"
    with socket.socket() as free, ExitStack() as stack:
        free.bind(("127.0.0.1", 0))
        command = re.sub(r"--port \d+", f"--port {free.getsockname()[1]}", example)
        listen = f"metrics --listen 127.0.0.1:{free.getsockname()[1]}"
        command = re.sub(r"\bmetrics\b( --listen \S+)?", listen, command)
        command = re.sub(r"--serve\b", f"--serve 127.0.0.1:{free.getsockname()[1]}", command)
        free.close()
        output = stack.enter_context(said.open("wb"))
        running = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {command}"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            until(lambda: ready in said.read_bytes() or running.poll() is not None)
            assert running.poll() is None, said.read_text()
            os.killpg(running.pid, signal.SIGINT)
            assert running.wait(60) in (ExitCode.INTERRUPTED, -signal.SIGINT, 0), said.read_text()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            running.wait()
    assert "error:" not in said.read_text()
    assert "Traceback" not in said.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("example", [example for _, example in EVERY if is_console(example)])
def test_an_example_of_the_console_runs_until_it_is_left(shop: Path, example: str) -> None:
    child = pexpect.spawn("/bin/sh", ["-c", f"exec {example}"], dimensions=(30, 120), encoding="utf-8", timeout=60)
    with ExitStack() as stack:
        stack.callback(child.close, force=True)
        child.expect("Overview")
        child.expect("Quit")
        child.send("q")
        child.expect(pexpect.EOF)
    assert child.exitstatus == 0


def test_every_page_has_two_to_four_examples_that_are_run() -> None:
    pages = [words for words in PAGES[1:] if words not in ELSEWHERE]
    counts = {page: sum(page == other for other, _ in EVERY) for page in pages}
    assert {page: count for page, count in counts.items() if not 2 <= count <= 4} == {}
    for page, file in ELSEWHERE.items():
        assert page in (Path(__file__).parents[2] / file).read_text()


def test_the_handlers_that_examples_name_are_those_of_the_shop(run: Run) -> None:
    found = json.loads(run("craft-events handlers list -o json").out)
    named = {name for _, example in EVERY for name in re.findall(r"shop\.(?!handlers|legacy)\w+:\w+", example)}
    assert named <= {row["id"] for row in found}
