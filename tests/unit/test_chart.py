"""Charts in a line of text."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from craft_events_cli.output.chart import bar, has_blocks, sparkline

values = st.lists(st.integers(0, 10**12), max_size=60)


@given(values, st.booleans())
def test_a_sparkline_has_a_character_for_each_value(numbers: list[int], blocks: bool) -> None:
    drawn = sparkline(numbers, blocks=blocks)
    assert len(drawn) == len(numbers)
    assert drawn.isascii() or blocks


@given(values)
def test_little_is_not_drawn_like_nothing(numbers: list[int]) -> None:
    assert [step == " " for step in sparkline(numbers)] == [number == 0 for number in numbers]


@given(values)
def test_a_greater_value_is_never_drawn_lower(numbers: list[int]) -> None:
    assert list(sparkline(sorted(numbers))) == sorted(sparkline(numbers))


@given(st.integers(0, 10**9), st.integers(1, 10**9), st.integers(1, 200), st.booleans())
def test_a_bar_keeps_to_its_width_and_shows_what_is_not_nothing(
    value: int, most: int, width: int, blocks: bool
) -> None:
    drawn = bar(min(value, most), most, width, blocks=blocks)
    assert len(drawn) <= width
    assert bool(drawn) == (value > 0)
    assert drawn.isascii() or blocks


def test_the_largest_value_fills_the_width() -> None:
    assert bar(7, 7, 16) == "█" * 16
    assert bar(7, 7, 16, blocks=False) == "#" * 16


@pytest.mark.parametrize(
    ("encoding", "locale", "expected"),
    [
        ("utf-8", {}, True),
        ("UTF8", {"LANG": "sv_SE.UTF-8"}, True),
        ("utf-8", {"LC_ALL": "C", "LANG": "sv_SE.UTF-8"}, False),
        ("utf-8", {"LANG": "POSIX"}, False),
        ("utf-8", {"LC_ALL": "C.UTF-8"}, True),
        ("latin-1", {}, False),
    ],
)
def test_a_terminal_without_block_elements_gets_plain_characters(
    monkeypatch: pytest.MonkeyPatch, encoding: str, locale: dict[str, str], expected: bool
) -> None:
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in locale.items():
        monkeypatch.setenv(name, value)
    assert has_blocks(io.TextIOWrapper(io.BytesIO(), encoding)) is expected
