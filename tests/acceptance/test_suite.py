"""The suite itself: what a test may not depend on, and that none slips away."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import surroundings

pytestmark = pytest.mark.slow
SKIPPED = """
import pytest

def test_one(): ...

@pytest.mark.skip(reason="for the test")
def test_two(): ...
"""


def run_pytest(repository: Path, *args: str, **environment: str) -> tuple[int, str]:
    """Run pytest with the suite's own fixtures and hooks in a process of its own."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *args]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
    done = subprocess.run(
        command, cwd=repository, env={**inherited, **environment}, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize(("ci", "code"), [("true", 1), ("", 0)])
def test_a_test_that_is_skipped_has_failed_on_ci_and_there_alone(
    repository: Path, tmp_path: Path, ci: str, code: int
) -> None:
    (tmp_path / "test_skipped.py").write_text(SKIPPED)
    ended, said = run_pytest(repository, "-p", "tests.conftest", str(tmp_path), CI=ci)
    assert ended == code, said
    assert ("skipped, which on CI is a failure" in said) is bool(code)


def test_no_setting_of_the_user_reaches_a_test() -> None:
    assert surroundings.settings() == []


def test_the_tests_run_whatever_environment_the_user_has_chosen(repository: Path) -> None:
    """As in `CRAFT_EVENTS_ENV=prod make test`."""
    here = f"{Path(__file__)}::{test_no_setting_of_the_user_reaches_a_test.__name__}"
    ended, said = run_pytest(repository, here, CRAFT_EVENTS_ENV="prod", CRAFT_EVENTS_URI="mongodb://db.example.com/")
    assert ended == 0, said
