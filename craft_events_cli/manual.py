"""The manual page, rendered from the table of commands, their signatures and the topics of help.

`python -m craft_events_cli.manual [FILE]` writes `man/craft-events.1` anew; the wheel installs it. What at least three
commands take in the same words is described once.

https://man7.org/linux/man-pages/man7/groff_man.7.html
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from craft_events_cli import __version__, topics
from craft_events_cli.main import COMMANDS, EXAMPLES, PROGRAM, SECTIONS, load
from craft_events_cli.parsing import (
    Command,
    Parameter,
    details_of,
    examples_of,
    help_of,
    signature_of,
    summary_of,
    term_of,
    usage_of,
)

SHARED_BY: Final = 3
FILE: Final = Path("man/craft-events.1")
_TITLES: Final = {"exit-codes": "EXIT STATUS", "environment": "ENVIRONMENT", "formats": "FORMATS"}
_DESCRIPTION: Final = (
    "An event log on MongoDB, read and repaired: what happened, what is stuck, whose it is and why, and what to do "
    "about it. Data goes to standard output, everything else to standard error."
)

Shared = tuple[str, str]


def page() -> str:
    """Return the manual page, in the man macros of troff."""
    functions = {words: load(words) for words in _ordered()}
    shared = _shared(functions.values())
    lines = [*_head()]
    for words, function in functions.items():
        lines += _command(words, function, shared)
    lines += _shared_options(shared)
    for topic, title in _TITLES.items():
        lines += [f'.SH "{title}"', *_topic(topic)]
    return "\n".join(lines) + "\n"


def _ordered() -> list[str]:
    """Return the commands in the order of the root's page."""
    names = [name for members in SECTIONS.values() for name in members]
    places = {name: place for place, name in enumerate(names)}
    shown = [words for words, entry in COMMANDS.items() if not entry.is_hidden]
    return sorted(shown, key=lambda words: places.get(words.split()[0], len(places)))


def _head() -> list[str]:
    return [
        '.\\" generated: python -m craft_events_cli.manual',
        f'.TH CRAFT\\-EVENTS 1 "" "{_text(f"{PROGRAM} {__version__}")}" "User Commands"',
        ".ad l",
        ".nh",
        ".SH NAME",
        "craft\\-events \\- the operators' command line of an event log on MongoDB",
        ".SH SYNOPSIS",
        ".B craft\\-events",
        ".I COMMAND",
        "[\\fIOPTIONS\\fR]",
        ".SH DESCRIPTION",
        _text(_DESCRIPTION),
        ".SH EXAMPLES",
        *_verbatim(EXAMPLES),
        ".SH COMMANDS",
    ]


def _command(words: str, function: Command, shared: dict[Shared, Parameter]) -> Iterator[str]:
    parameters = [one for one in signature_of(function).parameters if not one.info.hidden]
    arguments = " ".join(usage_of(one) for one in parameters if not one.is_option)
    yield f".SS {_text(f'{PROGRAM} {words} {arguments}'.strip())}"
    yield _text(summary_of(function))
    for paragraph in details_of(function):
        yield from (".PP", _text(paragraph))
    yield ".PP"
    yield from _verbatim(examples_of(function))
    for one in parameters:
        if _key(one) not in shared:
            yield from _described(one)
    if also := [one.label for one in parameters if _key(one) in shared]:
        yield from (".PP", f"Also, see SHARED OPTIONS: {', '.join(map(_text, also))}.")


def _shared(functions: Iterable[Command]) -> dict[Shared, Parameter]:
    """Return the options that several commands describe in the same words."""
    every = [one for function in functions for one in signature_of(function).parameters if one.is_option]
    counts = Counter(map(_key, every))
    return {_key(one): one for one in every if counts[_key(one)] >= SHARED_BY and not one.info.hidden}


def _key(one: Parameter) -> Shared:
    return term_of(one), one.info.help or ""


def _shared_options(shared: dict[Shared, Parameter]) -> Iterator[str]:
    yield '.SH "SHARED OPTIONS"'
    panels: dict[str, list[Parameter]] = {}
    for one in shared.values():
        panels.setdefault(str(one.info.rich_help_panel or "Acting"), []).append(one)
    for panel, members in panels.items():
        yield f".SS {_text(panel)}"
        for one in members:
            yield from _described(one)


def _described(one: Parameter) -> list[str]:
    return [".TP", f"\\fB{_text(term_of(one))}\\fR", _text(help_of(one))]


def _topic(topic: str) -> Iterator[str]:
    for block in topics.blocks(topic):
        first, _, rest = block.partition("\n")
        if first.startswith("# "):
            yield from (f".SS {_text(first[2:])}", *_verbatim(rest.splitlines()))
        elif first.startswith(" "):
            yield from (".PP", *_verbatim(block.splitlines()))
        else:
            yield from (".PP", _text(" ".join(block.split())))


def _verbatim(lines: Sequence[str]) -> list[str]:
    return [".nf", *(f"    {_text(line.removeprefix('  '))}" for line in lines), ".fi"]


def _text(text: str) -> str:
    """Return a line as troff reads it: no escape, no macro, and a hyphen that can be copied."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


if __name__ == "__main__":
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else FILE
    file.parent.mkdir(exist_ok=True)
    file.write_text(page(), encoding="utf-8", newline="\n")
