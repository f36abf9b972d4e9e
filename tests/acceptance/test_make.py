"""The Makefile's messages, and the versions that it installs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

WITHOUT_ENSUREPIP = """#!/bin/sh
case "$2" in *ensurepip*) exit 1 ;; esac
exec {python} "$@"
"""
TOO_OLD = """#!/bin/sh
case "$2" in *version_info*) exit 1 ;; esac
exec {python} "$@"
"""


def made(repository: Path, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run make, independent of a make that runs the tests."""
    outer = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "PYTHON", "VENV", "CONSTRAINTS", "ARGS", "JOBS"}
    environment = {name: value for name, value in os.environ.items() if name not in outer}
    environment |= {"PATH": path} if path else {}
    command = ["/usr/bin/env", "make", *arguments]
    return subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, check=False)


def interpreter(directory: Path, name: str, text: str) -> Path:
    program = directory / name
    program.write_text(text.format(python=sys.executable))
    program.chmod(0o755)
    return program


def test_plain_make_lists_the_targets(repository: Path) -> None:
    shown = made(repository).stdout
    for target in ("demo", "test", "check", "bench", "format", "clean"):
        assert f"make {target} " in shown


def test_without_ensurepip_the_missing_package_is_named(repository: Path, tmp_path: Path) -> None:
    python = interpreter(tmp_path, "python3", WITHOUT_ENSUREPIP)
    done = made(repository, f"{tmp_path}/v/.made", f"VENV={tmp_path}/v", f"PYTHON={python}")
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert done.returncode == 2
    assert f"{python} cannot create an environment" in done.stderr
    assert f"sudo apt install python{version}-venv" in done.stderr
    assert not (tmp_path / "v").exists()


def test_an_unsuitable_python_is_refused(repository: Path, tmp_path: Path) -> None:
    python = interpreter(tmp_path, "python3", TOO_OLD)
    done = made(repository, f"{tmp_path}/v/.made", f"VENV={tmp_path}/v", f"PYTHON={python}")
    assert done.returncode == 2
    assert "is not CPython 3.11, 3.12 or 3.13" in done.stderr


@pytest.fixture
def path_without_a_suitable_python(tmp_path: Path) -> str:
    """A PATH whose first Pythons are not suitable, as on a machine with 3.14 only."""
    for name in ("python3", "python3.11", "python3.12", "python3.13"):
        interpreter(tmp_path, name, "#!/bin/sh\nexit 1\n")
    return f"{tmp_path}{os.pathsep}{os.environ['PATH']}"


def test_without_a_suitable_python_and_uv_the_error_names_both(
    repository: Path, tmp_path: Path, path_without_a_suitable_python: str
) -> None:
    target = (f"{tmp_path}/v/.made", f"VENV={tmp_path}/v", "UV=")
    done = made(repository, *target, path=path_without_a_suitable_python)
    assert done.returncode == 2
    assert "craft-events needs Python 3.11, 3.12 or 3.13, and none was found: install one, or uv" in done.stderr


def test_uv_gets_a_suitable_python_if_there_is_none(
    repository: Path, tmp_path: Path, path_without_a_suitable_python: str
) -> None:
    interpreter(tmp_path, "uv", "#!/bin/sh\n")
    done = made(repository, "-n", f"{tmp_path}/v/.made", f"VENV={tmp_path}/v", path=path_without_a_suitable_python)
    assert f"{tmp_path}/uv venv --quiet --seed --python 3.13 {tmp_path}/v" in done.stdout


def test_a_python_that_can_create_an_environment_is_preferred(repository: Path, tmp_path: Path) -> None:
    for name in ("python3", "python3.13", "python3.12"):
        interpreter(tmp_path, name, WITHOUT_ENSUREPIP)
    interpreter(tmp_path, "python3.11", '#!/bin/sh\nexec {python} "$@"\n')
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = made(repository, "-n", f"{tmp_path}/v/.made", f"VENV={tmp_path}/v", path=path)
    assert f"python3.11 -m venv {tmp_path}/v" in done.stdout


@pytest.fixture
def pins(repository: Path) -> dict[str, str]:
    lines = (repository / "constraints.txt").read_text().splitlines()
    return dict(line.lower().replace("_", "-").split("==") for line in lines if not line.startswith("#"))


def test_every_version_that_is_installed_is_pinned(repository: Path, pins: dict[str, str]) -> None:
    described = tomllib.loads((repository / "pyproject.toml").read_text())
    wanted = [*described["build-system"]["requires"], *described["project"]["dependencies"]]
    for group in (described["project"]["optional-dependencies"], described["dependency-groups"]):
        wanted += [each for members in group.values() for each in members if isinstance(each, str)]
    names = {re.split(r"[\[<>=;! ]", each, maxsplit=1)[0].lower().replace("_", "-") for each in wanted}
    assert names - pins.keys() == set()


def test_the_constraints_name_no_host(repository: Path) -> None:
    text = (repository / "constraints.txt").read_text()
    assert not re.search(r"://|^-|@", text, re.MULTILINE)


def test_the_workflow_runs_on_everything_that_the_project_claims(repository: Path) -> None:
    classifiers = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["classifiers"]
    workflow = (repository / ".github/workflows/check.yml").read_text()
    claimed = {one.rpartition(" :: ")[2] for one in classifiers if "Python :: 3." in one}
    assert claimed <= set(re.findall(r'"(3\.\d+)"', workflow))
    runners = set(re.findall(r"runs-on: (\w+)-", workflow))
    assert {"ubuntu" if one.endswith("Linux") else "macos" for one in classifiers if "System ::" in one} == runners


def test_no_test_that_waits_is_left_out_of_make_check(repository: Path) -> None:
    plan = made(repository, "--dry-run", "cover").stdout
    run = next(line for line in plan.splitlines() if '"not proof and waiting"' in line)
    words = [word for word in run.split() if word.startswith("tests/")]
    marked = [file for file in repository.glob("tests/**/*.py") if "pytest.mark.waiting" in file.read_text()]
    names = {str(file.relative_to(repository)) for file in marked} - {"tests/acceptance/test_make.py"}
    assert names
    assert [name for name in sorted(names) if not any(name.startswith(word) for word in words)] == []
