"""The kill points: named once in the library, listed in the tests, and impossible to arm from the environment."""

import ast
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import craft_easy.core.events
from tests.support import kill

LIBRARY = Path(craft_easy.core.events.__file__).parent
REACHES = "from craft_easy.core.events import hooks; hooks.kill_point('child.stored'); print('alive')"


def points() -> Iterator[str]:
    for path in LIBRARY.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "hooks.kill_point":
                yield ast.literal_eval(node.args[0])


def run(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", REACHES], env={**os.environ, **environment}, capture_output=True, text=True
    )


def test_the_tests_kill_at_every_point_of_the_library() -> None:
    assert set(points()) == {*kill.POINTS, *kill.OF_OPERATORS} - {kill.HALF}


def test_a_request_has_one_point() -> None:
    twice = {point for point, times in Counter(points()).items() if times > 1}
    assert twice <= {"prune.copied"}  # for a file and for a collection


def test_the_environment_alone_arms_nothing() -> None:
    assert run(KILL_POINT="child.stored", CRAFT_EVENTS_KILL_AT="child.stored").stdout == "alive\n"


def test_an_armed_process_dies_at_its_point() -> None:
    ended = run(**kill.armed("child.stored"))
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGKILL, "", "")
    assert run(**kill.armed("child.stored:2")).stdout == "alive\n"
