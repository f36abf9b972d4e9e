"""Findings, one a line: the level, the check, the message and the advice.

      OK     change streams   available
      WARN   indexes          1 missing: event_id_1     craft-events doctor --fix
      FAIL   handlers         shop.legacy:sync is named by 41 open events and is not loaded
                              load its module too, or: craft-events dead discard --handler shop.legacy:sync --pending

Nothing is cut: long text continues on the next line. A command is never folded, so that it can be copied.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final

from craft_events_cli import terminal
from craft_events_cli.output import next_step
from craft_events_cli.output.counts import counted
from craft_events_cli.output.rows import RowWriter
from craft_events_cli.terminal import Output, safe

if TYPE_CHECKING:
    from craft_easy.core.events.operations.doctor.finding import Finding

COLUMNS: Final = ("check", "level", "message", "advice", "details")
MARGIN: Final = "  "
GAP: Final = "   "
BESIDE: Final = "     "
LEVEL: Final = 4
CHECK: Final = 15
READING_WIDTH: Final = 120
"""Sentences are folded to this width on a wider terminal."""
NARROW: Final = 60
"""Below this width the text is written under the name of the check."""
_STYLES: Final = {"OK": "32", "WARN": "33", "FAIL": "31;1"}
_DIM: Final = "2"


class Findings:
    """Writes findings to stdout as they are made, and counts them.

    Args:
        output: the format.
    """

    def __init__(self, output: Output) -> None:
        self._rows = None if output is Output.TABLE else RowWriter(COLUMNS, output)
        self.levels: Counter[str] = Counter()

    def begin(self) -> None:
        """Write the header of the format, if it has one."""
        if self._rows is not None:
            self._rows.begin()

    def write(self, finding: Finding) -> None:
        """Write one finding, at once."""
        self.levels[finding.level] += 1
        if finding.advice is not None:
            finding = replace(finding, advice=next_step.completed(finding.advice))
        if self._rows is not None:
            self._rows.write(row_of(finding))
        else:
            terminal.stdout().writelines(f"{line}\n" for line in _lines(finding))
        terminal.flush()

    def close(self) -> None:
        """Write the end of the format, if it has one."""
        if self._rows is not None:
            self._rows.close()

    def summary(self) -> str:
        """Return the number of failures and warnings, or that there are none."""
        parts = [counted(self.levels[level], name) for level, name in (("FAIL", "failure"), ("WARN", "warning"))]
        bad = [part for part in parts if not part.startswith("0 ")]
        return ", ".join(bad) or f"all is well: {counted(self.levels.total(), 'check')}"


def row_of(finding: Finding) -> dict[str, Any]:
    """Return a finding as a row, its keys in the order of `COLUMNS`."""
    return {
        "check": finding.check,
        "level": finding.level,
        "message": terminal.redacted(finding.message),
        "advice": None if finding.advice is None else terminal.redacted(finding.advice),
        "details": dict(finding.details),
    }


def _lines(finding: Finding) -> Sequence[str]:
    stream = terminal.stdout()
    width = terminal.width(stream)
    message = safe(terminal.redacted(finding.message))
    advice = "" if finding.advice is None else safe(terminal.redacted(finding.advice))
    level = terminal.paint(finding.level.ljust(LEVEL), _STYLES[finding.level], stream)
    head = f"{MARGIN}{level}{GAP}{finding.check.ljust(CHECK)}{GAP}"
    indent = len(MARGIN) + LEVEL + len(GAP) + CHECK + len(GAP)
    lines = []
    if width < NARROW:
        lines.append(head.rstrip())
        indent, head = 4, " " * 4
    room = max(min(width, READING_WIDTH) - indent, 20)
    if advice and len(message) + len(BESIDE) + len(advice) <= room:
        return [*lines, f"{head}{message}{BESIDE}{terminal.paint(advice, _DIM, stream)}"]
    folded = wrap(message, room, break_long_words=False, break_on_hyphens=False) or [""]
    lines += [head + folded[0], *(" " * indent + line for line in folded[1:])]
    return [*lines, *(_indented(line, indent, width) for line in _steps(advice, room))]


def _indented(step: str, indent: int, width: int) -> str:
    """Return a line of advice below the text; a command that is too long there starts further to the left."""
    starts = (indent, len(MARGIN) + LEVEL + len(GAP), len(MARGIN))
    start = next((one for one in starts if one <= indent and one + len(step) <= width), len(MARGIN))
    return " " * start + terminal.paint(step, _DIM, terminal.stdout())


def _steps(advice: str, room: int) -> Sequence[str]:
    """Return advice in lines; commands that do not fit on one line get a line each."""
    if len(advice) <= room:
        return [advice] if advice else []
    lines: list[str] = []
    for part in advice.split(GAP):
        words, colon, command = part.partition(": ")
        if not colon or len(part) <= room:
            lines += [part] if len(part) <= room or colon else wrap(part, room, break_on_hyphens=False)
        else:
            lines += [*wrap(f"{words}:", room, break_on_hyphens=False), command]
    return lines
