"""The manual page: what the app generates, what troff reads, and what the wheel installs."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from craft_events_cli import main, manual, parsing
from craft_events_cli.exit_codes import ExitCode
from craft_events_cli.parsing import examples_of, signature_of

COMMANDS = [words for words, entry in main.COMMANDS.items() if not entry.is_hidden]


@pytest.fixture(scope="module")
def page() -> str:
    """The page as troff reads it, hyphens as they are typed."""
    return manual.page().replace("\\-", "-")


def test_the_page_is_what_the_app_generates(repository: Path) -> None:
    assert (repository / manual.FILE).read_text() == manual.page(), "run: python -m craft_events_cli.manual"


def test_the_module_writes_the_page_anew(repository: Path, tmp_path: Path) -> None:
    file = tmp_path / "man" / "page.1"
    subprocess.run([sys.executable, "-m", "craft_events_cli.manual", str(file)], timeout=60, check=True)
    assert file.read_bytes() == (repository / manual.FILE).read_bytes()


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_is_on_it_with_its_examples_and_options(page: str, words: str) -> None:
    section = re.search(rf"^\.SS craft-events {words}( [^\n]*)?\n(.*?)(?=^\.S[SH] )", page, re.MULTILINE | re.DOTALL)
    assert section
    function = main.load(words)
    for example in examples_of(function):
        assert example.replace("\\", "\\e") in section[2]
    for one in signature_of(function).parameters:
        if one.is_option and not one.info.hidden:
            assert one.label in section[2]
            assert f"\\fB{parsing.term_of(one)}\\fR" in page


def test_the_topics_of_help_are_on_it(page: str) -> None:
    for title in ("NAME", "SYNOPSIS", "EXIT STATUS", "ENVIRONMENT", "FORMATS"):
        assert re.search(rf'^\.SH "?{title}"?$', page, re.MULTILINE)
    assert all(re.search(rf"^ +{int(code)} ", page, re.MULTILINE) for code in ExitCode)


def test_no_text_is_read_as_a_macro_of_troff(page: str) -> None:
    macros = {line.split()[0] for line in page.splitlines() if line.startswith((".", "'"))}
    assert macros <= {'.\\"', ".TH", ".SH", ".SS", ".PP", ".TP", ".B", ".I", ".nf", ".fi", ".ad", ".nh"}
    assert set(re.findall(r"\\(.)", page)) <= {"f", "e", "&", '"'}


@pytest.mark.parametrize("text", [".PP", "'so x", "\\n", "--flag", "…"])
def test_a_text_stays_a_text(text: str) -> None:
    shown = manual._text(text)
    assert not shown.startswith((".", "'"))
    assert shown.replace("\\&", "").replace("\\e", "\\").replace("\\-", "-") == text


def test_troff_reads_it_without_a_warning(repository: Path) -> None:
    groff = shutil.which("groff")
    if groff is None:
        return  # the tests above say what it must not hold
    ended = subprocess.run(
        [groff, "-man", "-ww", "-K", "utf8", "-T", "utf8", str(repository / manual.FILE)],
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "craft-events redispatch" in re.sub(r"\x1b\[[0-9;]*m|.\x08", "", ended.stdout)


def test_the_wheel_installs_the_page_and_the_completions(repository: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=repository, check=True, capture_output=True, timeout=60)
    [wheel] = tmp_path.glob("*.whl")
    with ZipFile(wheel) as archive:
        shared = {name.partition(".data/data/")[2]: archive.read(name) for name in archive.namelist()}
    expected = {
        "share/man/man1/craft-events.1": "man/craft-events.1",
        "share/bash-completion/completions/craft-events": "completions/craft-events.bash",
        "share/zsh/site-functions/_craft-events": "completions/_craft-events",
        "share/fish/vendor_completions.d/craft-events.fish": "completions/craft-events.fish",
    }
    for installed, source in expected.items():
        assert shared[installed] == (repository / source).read_bytes()
