"""Completions in the real shells, on a terminal: the offers of TAB, and commands that it must never run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest

from craft_events_cli import completion
from craft_events_cli.completion_values import PLAIN, connection_flags, plain
from tests.support import shells
from tests.support.shells import Shell

pytestmark = pytest.mark.slow

GOOD = [
    "acme-1",
    "acme-2",
    "globex",
    "shop.stock:reserve",
    "shop.stock:refund",
    "user@x.org",
    "a:b@c:d",
    "order.placed",
]
HOSTILE = [
    "evil$(touch pwned)", "evil`touch pwned`", "evil;touch pwned", "evil\x1b[31m", "evil two", "evilé", "evil'",
    'evil"',
    "evil\\", "evil*", "evil$HOME", "evil&", "evil|x", "evil>pwned", "evil#", "evil~", "evil!x", "evil{a,b}", "evil\t",
]  # fmt: skip
FAKE = f"""#!/bin/sh
printf '%s\\n' "$*" >> "$HOME/calls"
case "$1" in completion-values)
cat <<'EOF'
{chr(10).join([*GOOD, *HOSTILE])}
EOF
;; esac
"""


@pytest.fixture(scope="module", params=shells.NAMES)
def name(request: pytest.FixtureRequest) -> str:
    """A shell's name; a missing shell is reported as skipped."""
    if not shells.is_installed(request.param):
        pytest.skip(f"{request.param} is not installed")
    return str(request.param)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a program of our name that records each call and answers with good and hostile values."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "bin").mkdir()
    (folder / "bin" / "craft-events").write_text(FAKE)
    (folder / "bin" / "craft-events").chmod(0o755)
    (folder / "etc").mkdir()
    (folder / "an app").mkdir()
    return folder


@pytest.fixture(scope="module")
def running(name: str, home: Path) -> Iterator[Shell]:
    with Shell(name, home, [home / "bin"]) as shell:
        yield shell


@pytest.fixture
def shell(running: Shell, home: Path) -> Shell:
    """The running shell with an empty line, and no recorded call."""
    running.clear()
    (home / "calls").unlink(missing_ok=True)
    return running


def calls(home: Path) -> list[str]:
    file = home / "calls"
    return file.read_text().splitlines() if file.exists() else []


def shows(shell: Shell, line: str) -> str:
    """Wait until the command line has this text."""
    end = re.compile(re.escape(f"ready> {line}") + r"=?\s*$", re.MULTILINE)
    return shell.wait_for(lambda screen: end.search(screen) is not None)


@pytest.mark.parametrize("name", ["craft-events.bash", "_craft-events", "craft-events.fish"])
def test_the_files_are_what_the_app_generates(repository: Path, name: str) -> None:
    text = (repository / "completions" / name).read_text()
    assert text == completion.files()[name](), "run: python -m craft_events_cli.completion"


@pytest.mark.parametrize(
    ("shell_name", "name"), [("bash", "craft-events.bash"), ("zsh", "_craft-events"), ("fish", "craft-events.fish")]
)
def test_the_command_prints_the_same_text(repository: Path, shell_name: str, name: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "craft_events_cli", "completion", shell_name],
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert ended.stdout == (repository / "completions" / name).read_bytes()


def test_the_module_writes_the_files(repository: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "craft_events_cli.completion", str(tmp_path)], timeout=60, check=True)
    for file in (repository / "completions").iterdir():
        assert (tmp_path / file.name).read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("craft-events redis\t", "craft-events redispatch"),
        ("craft-events handlers l\t", "craft-events handlers list"),
        ("craft-events replay --ten\t", "craft-events replay --tenant"),
        ("craft-events tail --no-f\t", "craft-events tail --no-follow"),
        ("craft-events replay -o nd\t", "craft-events replay -o ndjson"),
        ("craft-events replay --output=nd\t", "craft-events replay --output=ndjson"),
        ("craft-events replay --reverse --state un\t", "craft-events replay --reverse --state untracked"),
        ("craft-events replay --type 'a b' --color al\t", "craft-events replay --type 'a b' --color always"),
        ("craft-events completion f\t", "craft-events completion fish"),
        ("craft-events dead ret\t", "craft-events dead retry"),
        ("craft-events stats --by ten\t", "craft-events stats --by tenant"),
        ("craft-events import bi\t", "craft-events import bin/"),
        ("craft-events prune --archive=bi\t", "craft-events prune --archive=bin/"),
        ("craft-events config s\t", "craft-events config show"),
        ("craft-events reda\t", "craft-events redact"),
        ("craft-events prune --older\t", "craft-events prune --older-than"),
        ("craft-events prune --older-than 90d --arch\t", "craft-events prune --older-than 90d --archive"),
        ("craft-events redact --rea\t", "craft-events redact --reason"),
        ("craft-events dead discard --rea\t", "craft-events dead discard --reason"),
        ("craft-events serve et\t", "craft-events serve etc/"),
        ("craft-events redispatch --app-dir et\t", "craft-events redispatch --app-dir etc/"),
        ("craft-events handlers list --app-dir=et\t", "craft-events handlers list --app-dir=etc/"),
    ],
)
def test_tab_completes_commands_and_flags_without_running_anything(
    shell: Shell, home: Path, typed: str, completed: str
) -> None:
    shell.press(typed)
    shows(shell, completed)
    assert calls(home) == []


def test_a_folder_with_a_space_is_quoted(shell: Shell, home: Path) -> None:
    shell.press("craft-events serve an\t")
    shell.wait_for(lambda screen: "app" in screen)
    shell.press("\n")
    shell.wait_for(lambda _: calls(home) != [])
    assert calls(home)[0].rstrip("/") == "serve an app"


@pytest.mark.skipif(not shells.is_installed("bash"), reason="bash is not installed")
@pytest.mark.parametrize(("typed", "called"), [("et\t", "serve etc"), ("an\t", "serve an app")])
def test_bash_3_2_without_compopt_completes_paths_too(home: Path, typed: str, called: str) -> None:
    (home / "calls").unlink(missing_ok=True)
    with Shell("bash", home, [home / "bin"]) as old:
        old.press("enable -n compopt; shopt -s compat32; clear\n")
        old.wait_for(lambda screen: screen.strip() == shells.PROMPT.strip())
        old.press(f"craft-events serve {typed}")
        old.settle()
        old.press("\n")
        old.wait_for(lambda _: calls(home) != [])
    assert calls(home)[0].rstrip("/ ") == called


def test_every_command_is_offered(shell: Shell, home: Path) -> None:
    shell.press("craft-events \t\t")
    shell.wait_for(lambda screen: all(f"{word}" in screen for word in completion.first_words()))
    assert calls(home) == []


def test_every_flag_is_offered(shell: Shell, home: Path) -> None:
    shell.press("craft-events replay --\t\t")
    flags = {"--tenant", "--no-tenant", "--type", "--since", "--until", "--limit", "--reverse", "--uri", "--output"}
    shell.wait_for(lambda screen: all(flag in screen for flag in flags))
    assert calls(home) == []


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("--tenant glo\t", "--tenant globex"),
        ("--tenant=glo\t", "--tenant=globex"),
        ("--type order.pl\t", "--type order.placed"),
        ("--handler shop.stock:res\t", "--handler shop.stock:reserve"),
        ("--env glo\t", "--env globex"),
        ("--handler shop.stock:re\ts\t", "--handler shop.stock:reserve"),
        ("--tenant user@\t", "--tenant user@x.org"),
        ("--tenant=user@\t", "--tenant=user@x.org"),
        ("--tenant a:\t", "--tenant a:b@c:d"),
        ("--tenant a:b@c:\t", "--tenant a:b@c:d"),
        ("--tenant globex --tenant ac\t1\t", "--tenant globex --tenant acme-1"),
    ],
)
def test_values_come_from_the_log(shell: Shell, home: Path, typed: str, completed: str) -> None:
    for part in re.findall(r"[^\t]*\t", f"craft-events redispatch {typed}"):
        before = len(calls(home))
        shell.press(part)
        shell.wait_for(lambda _, before=before: len(calls(home)) > before)  # type: ignore[misc]
        shell.settle(0.3)
    shows(shell, f"craft-events redispatch {completed}")


def test_a_handlers_id_is_offered_as_an_argument(shell: Shell, home: Path) -> None:
    shell.press("craft-events handlers show shop.stock:res\t")
    shell.wait_for(lambda _: calls(home) != [])
    shows(shell, "craft-events handlers show shop.stock:reserve")


@pytest.mark.parametrize("option", ["--tenant", "--type", "--handler", "--env"])
def test_only_plain_values_are_offered(shell: Shell, option: str) -> None:
    shell.press(f"craft-events redispatch {option} \t\t")
    screen = shell.wait_for(lambda screen: all(value in screen for value in GOOD))
    assert "evil" not in screen


@pytest.mark.parametrize("option", ["--tenant", "--type", "--handler", "--env"])
def test_no_tenants_name_can_run_code_at_tab(shell: Shell, home: Path, option: str) -> None:
    shell.press(f"craft-events redispatch {option} evil\t\t")
    shell.wait_for(lambda _: len(calls(home)) >= 1)
    shell.settle()
    shell.press("\n")
    shell.wait_for(lambda _: any(call.startswith("redispatch ") for call in calls(home)))
    assert calls(home)[-1] == f"redispatch {option} evil"
    assert not (home / "pwned").exists()


def test_typed_text_is_never_evaluated(shell: Shell, home: Path) -> None:
    shell.press("craft-events redispatch --uri $(touch pwned) --tenant '`touch pwned`\t\t")
    shell.settle(1)
    assert not (home / "pwned").exists()


def test_only_plain_values_pass_the_filter() -> None:
    assert plain([*GOOD, *HOSTILE, "", "a\n", "a\nb"]) == GOOD
    assert PLAIN.fullmatch("Aa09._:@/+-")


@pytest.mark.parametrize(
    ("line", "flags"),
    [
        ("craft-events tail", {}),
        ("craft-events tail --uri mongodb://h/db --tenant ", {"uri": "mongodb://h/db"}),
        ("craft-events tail --uri=mongodb://h/db --database d --collection 'c d' --tenant ac", None),
        ("craft-events tail --env prod --tenant ", {"env": "prod"}),
        ("craft-events tail --uri 'unfinished", {"uri": "unfinished"}),
        ("craft-events tail --uri $URI --tenant ", None),
        ("craft-events tail --database `id` --tenant ", None),
    ],
)
def test_the_connection_is_read_off_the_line_and_nothing_is_expanded(line: str, flags: dict[str, str] | None) -> None:
    if flags is None and "$" not in line and "`" not in line:
        flags = {"uri": "mongodb://h/db", "database": "d", "collection": "c d"}
    assert connection_flags(line) == flags


def values(
    *args: str, cwd: Path, deadline: float | None = None, **environment: str
) -> tuple[subprocess.CompletedProcess[bytes], float]:
    program = (
        "import sys; from craft_events_cli import app\n"
        "from craft_events_cli import completion_values as command\n"
        f"command.DEADLINE = {deadline} or command.DEADLINE; app.run(['completion-values', *sys.argv[1:]])"
    )
    began = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-c", program, *args],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
        capture_output=True,
        timeout=60,
    )
    return ended, time.perf_counter() - began


@pytest.mark.parametrize(
    "uri",
    ["mongodb://127.0.0.1:1", "mongodb://192.0.2.1", "embedded:nowhere", "nonsense", "mongodb://no-such-host.invalid"],
)
@pytest.mark.parametrize("kind", ["tenant", "type", "handler", "nonsense"])
def test_without_a_database_completion_returns_nothing_quickly(tmp_path: Path, uri: str, kind: str) -> None:
    (tmp_path / "shop.py").write_text("open('imported', 'w')")
    ended, seconds = values(kind, "", f"craft-events replay --uri {uri}", cwd=tmp_path, CRAFT_EVENTS_HANDLERS="shop")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shop.py"]
    assert seconds < 20  # 300 ms on an idle machine; without the deadline a driver looks for its server for 30 s


@pytest.mark.parametrize("args", [(), ("tenant",), ("tenant", "", "", ""), ("tenant", "", "craft-events --uri 'x")])
def test_arguments_that_are_wrong_are_silent_too(tmp_path: Path, args: tuple[str, ...]) -> None:
    ended, _ = values(*args, cwd=tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")


def test_the_deadline_holds_while_modules_are_still_imported(tmp_path: Path) -> None:
    (tmp_path / "pymongo.py").write_text("import time\ntime.sleep(600)")
    ended, seconds = values("tenant", "", "craft-events replay", cwd=tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")
    assert seconds < 20


@pytest.mark.parametrize("ending", ["time.sleep(600)", "raise OSError"])
def test_a_part_of_the_values_is_not_offered_as_if_it_were_all(tmp_path: Path, ending: str) -> None:
    program = (
        "import time; from craft_events_cli import completion_values as command\n"
        "def known(*args):\n"
        "    yield 'acme'\n"
        f"    {ending}\n"
        "command._known = known; command.DEADLINE = 3; command.completion_values(['tenant', '', ''])"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, timeout=60
    )
    assert (ended.returncode, ended.stdout) == (0, b"")


async def test_values_come_from_a_real_log(embedded_uri: str, database_name: str, tmp_path: Path) -> None:
    from craft_easy.core.events import DomainEvent
    from craft_easy.core.events.store import EventStore

    async with EventStore(database_name, uri=embedded_uri) as store:
        for tenant in ("acme", "acme$(touch pwned)", "globex", None):
            await store.append(
                DomainEvent(event_type="order.placed", tenant_id=tenant), handlers=["shop.stock:reserve"]
            )
    line = f"craft-events replay --uri '{embedded_uri}' --database {database_name} --tenant "
    expected = {("tenant", ""): b"acme\nglobex\n", ("tenant", "g"): b"globex\n", ("type", ""): b"order.placed\n",
                ("handler", "shop"): b"shop.stock:reserve\n", ("tenant", "x"): b""}  # fmt: skip
    for (kind, prefix), answer in expected.items():
        assert values(kind, prefix, line, cwd=tmp_path, deadline=30)[0].stdout == answer


def test_environments_come_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        "[tool.craft-events.env.prod]\nprotected = true\n[tool.craft-events.env.preview]\n"
    )
    for prefix, answer in {"": b"preview\nprod\n", "pro": b"prod\n", "x": b"", "$": b""}.items():
        assert values("env", prefix, "craft-events tail --env ", cwd=tmp_path, deadline=30)[0].stdout == answer


async def test_values_come_from_the_environment_that_is_named(
    embedded_uri: str, database_name: str, tmp_path: Path
) -> None:
    from craft_easy.core.events import DomainEvent
    from craft_easy.core.events.store import EventStore

    async with EventStore(database_name, uri=embedded_uri) as store:
        await store.append(DomainEvent(event_type="order.placed", tenant_id="acme"))
    (tmp_path / "pyproject.toml").write_text(
        f"[tool.craft-events.env.test]\nuri = '{embedded_uri}'\ndatabase = '{database_name}'\n"
    )
    line = "craft-events replay --env test --tenant "
    assert values("tenant", "", line, cwd=tmp_path, deadline=30)[0].stdout == b"acme\n"


def test_the_wheel_installs_the_completions(repository: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=repository, check=True, capture_output=True, timeout=60)
    [wheel] = tmp_path.glob("*.whl")
    with ZipFile(wheel) as archive:
        shared = {name.partition(".data/data/")[2]: archive.read(name) for name in archive.namelist()}
    expected = {
        "share/bash-completion/completions/craft-events": "completions/craft-events.bash",
        "share/zsh/site-functions/_craft-events": "completions/_craft-events",
        "share/fish/vendor_completions.d/craft-events.fish": "completions/craft-events.fish",
    }
    for installed, source in expected.items():
        assert shared[installed] == (repository / source).read_bytes()
