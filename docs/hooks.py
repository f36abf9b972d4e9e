"""What MkDocs does besides Markdown: the help pages are put into the reference, and YAML is read once."""

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
    """Put the help pages where a page asks for them, and fail where a block of YAML is not YAML."""
    for block in re.findall(r"^```yaml\n(.*?)^```$", markdown, re.MULTILINE | re.DOTALL):
        list(yaml.safe_load_all(block))
    if HELP_PAGES not in markdown:
        return markdown
    pages = [f"## craft-events {words}\n\n```text\n{text}```\n" for words, text in command_line.pages().items()]
    return markdown.replace(HELP_PAGES, "\n".join(pages).replace("## craft-events \n", "## craft-events\n"))
