"""The pictures of the documentation: each exists, for dark and light pages, and shows the current output."""

import re
from html import unescape
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
PICTURES = sorted(
    {name for page in PAGES for name in re.findall(r"pictures/([a-z]+)-(?:dark|light)\.svg", page.read_text())}
)


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_a_picture_shows_its_command_and_no_error(name: str, theme: str) -> None:
    drawn = (ROOT / "docs" / "pictures" / f"{name}-{theme}.svg").read_text()
    said = unescape(re.sub(r"<style>.*?</style>|<[^>]+>", "", drawn, flags=re.DOTALL)).replace("\xa0", " ")
    assert f"craft-events {'top' if name.startswith('top') else name}" in said
    assert "error:" not in said
    assert "http" not in drawn.replace("http://www.w3.org/2000/svg", ""), "it loads no other file"


def test_no_picture_is_left_over() -> None:
    drawn = {path.name.rpartition("-")[0] for path in (ROOT / "docs" / "pictures").glob("*.svg")}
    assert drawn == set(PICTURES)
