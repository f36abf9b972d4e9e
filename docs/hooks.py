"""Hooks of MkDocs: the reference gets the help pages, and blocks of YAML are parsed once."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parents[1]))

from docs import command_line

HELP_PAGES = "<!-- help pages -->"


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Insert the help pages at their marker, and fail for a block of YAML that cannot be parsed."""
    for block in re.findall(r"^```yaml\n(.*?)^```$", markdown, re.MULTILINE | re.DOTALL):
        list(yaml.safe_load_all(block))
    if HELP_PAGES not in markdown:
        return markdown
    pages = [f"## craft-events {words}\n\n```text\n{text}```\n" for words, text in command_line.pages().items()]
    return markdown.replace(HELP_PAGES, "\n".join(pages).replace("## craft-events \n", "## craft-events\n"))
