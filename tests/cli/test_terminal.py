"""Output to a terminal: safe text, widths, colours, formats."""

import io
import re
from typing import Literal
from unicodedata import category

import pytest
from hypothesis import given
from hypothesis import strategies as st

from craft_events_cli import terminal
from craft_events_cli.errors import UsageError
from craft_events_cli.terminal import Output, output_format, safe, streams

UNSAFE: tuple[Literal["Cc", "Cf", "Cs", "Zl", "Zp"], ...] = ("Cc", "Cf", "Cs", "Zl", "Zp")


@given(st.text(st.characters()))
def test_safe_text_holds_no_character_that_a_terminal_obeys(text: str) -> None:
    shown = safe(text)
    assert not any(category(character) in UNSAFE for character in shown)
    assert safe(shown) == shown


@given(st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"])))
def test_every_other_text_stays_as_it_is(text: str) -> None:
    assert safe(text) == text


def test_every_unsafe_character_of_unicode_is_escaped_and_no_other() -> None:
    unsafe = [character for character in map(chr, range(0x110000)) if category(character) in UNSAFE]
    assert [character for character in unsafe if not re.fullmatch(r"\\\w+", safe(character))] == []
    others = "".join(character for character in map(chr, range(0x20000)) if category(character) not in UNSAFE)
    assert safe(f"{others}\n") == f"{others}\\n"


@pytest.mark.parametrize(
    ("columns", "width"), [("10", 40), ("79", 79), ("120", 120), ("500", 500), ("0", 120), ("x", 120), ("٣", 120)]
)
def test_a_table_uses_the_width_there_is(monkeypatch: pytest.MonkeyPatch, columns: str, width: int) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert terminal.width(io.StringIO()) == width


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("args", "environment", "stream", "colored"),
    [
        ([], {}, Terminal(), True),
        ([], {}, io.StringIO(), False),
        ([], {"NO_COLOR": "1"}, Terminal(), False),
        ([], {"NO_COLOR": ""}, Terminal(), True),
        ([], {"TERM": "dumb"}, Terminal(), False),
        (["--color", "never"], {}, Terminal(), False),
        (["--color=always"], {"NO_COLOR": "1"}, io.StringIO(), True),
        (["--color", "always", "--color", "auto"], {}, io.StringIO(), False),
        (["--color", "pink"], {}, io.StringIO(), False),
        (["--color"], {}, io.StringIO(), False),
    ],
)
def test_colour_is_decided_by_the_flag_then_by_no_color_then_by_the_terminal(
    monkeypatch: pytest.MonkeyPatch, args: list[str], environment: dict[str, str], stream: io.StringIO, colored: bool
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with streams(args):
        assert terminal.is_colored(stream) is colored


def test_a_terminal_gets_a_table_and_a_pipe_ndjson(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", Terminal())
    assert output_format(None) is Output.TABLE
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert output_format(None) is Output.NDJSON
    assert output_format(Output.TABLE, endless=True) is Output.TABLE


def test_an_endless_command_refuses_json() -> None:
    with pytest.raises(UsageError, match="one array"):
        output_format(Output.JSON, endless=True)


@pytest.mark.parametrize("colored", [True, False])
def test_a_console_reads_nothing_as_markup(monkeypatch: pytest.MonkeyPatch, colored: bool) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stdout", stream)
    with streams(["--color=always"] if colored else []):
        terminal.console().print("[red]x[/red] :smile: 12 'a'")
    assert stream.getvalue() == "[red]x[/red] :smile: 12 'a'\n"


def test_a_note_is_one_safe_line_without_passwords(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.note("a\nb \x1b[31m mongodb://app:secret@h/")
    assert capsys.readouterr().err == "a\\nb \\x1b[31m mongodb://app:***@h/\n"


def test_a_terminal_without_unicode_gets_plain_signs_of_the_same_width() -> None:
    text = "3 events · – … é 日"
    assert text.encode("ascii", "craft-events.encodable") == rb"3 events - - ~ \xe9 \u65e5"
    assert text.encode("latin-1", "craft-events.encodable").decode("latin-1") == r"3 events · - ~ é \u65e5"
