"""`--grep`: a text, or an expression between slashes, that an event must hold."""

from __future__ import annotations

import json
import re
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from craft_events_cli.exit_codes import UsageError

if TYPE_CHECKING:
    from craft_easy.core.events.history.endings import Ending

LONGEST_S: Final = 1.0
"""An expression may look at one event for so long: some take years for a text of a few hundred letters."""
_EXPRESSION: Final = re.compile(r"/(.+)/(i?)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for, as it was typed, and the expression that it is, if it is one."""

    text: str
    expression: re.Pattern[str] | None = None

    def is_in(self, text: str) -> bool:
        """Tell whether the text holds it."""
        return self.text in text if self.expression is None else self.expression.search(text) is not None


def search(text: str) -> Search:
    """Read what is to be looked for: `text` as it is, `/expression/`, or `/expression/i` for either case."""
    if not text:
        raise ValueError("an empty text is in every event")
    found = _EXPRESSION.fullmatch(text)
    if found is None:
        return Search(text)
    try:
        return Search(text, re.compile(found[1], re.IGNORECASE if found[2] else 0))
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f'"{text[:80]}" is no regular expression: {error}') from None


class Grep:
    """Tells whether an event, or a delivery of it that ended, holds one of the texts.

    An event is looked at as the line of Event JSON that `-o ndjson` writes, with characters in place of their escapes
    and without its deliveries; a delivery that ended as that and its own line.
    """

    def __init__(self, searches: Sequence[Search]) -> None:
        self._searches = searches
        self._is_guarded = any(one.expression is not None for one in searches)

    def __call__(self, record: Mapping[str, Any], ending: Ending | None) -> bool:
        text = _text_of(record, ending)
        if not self._is_guarded:
            return any(one.is_in(text) for one in self._searches)
        try:
            with _at_most(LONGEST_S):
                return any(one.is_in(text) for one in self._searches)
        except _TooSlow:
            raise UsageError(
                f"--grep: the expression looked at event {record.get('event_id')} for more than {LONGEST_S:g} s",
                hint="repeats inside repeats, as in (a+)+, take that long: try a plainer one, or a text",
            ) from None


def _text_of(record: Mapping[str, Any], ending: Ending | None) -> str:
    from craft_easy.core.events.store.formats import event_json

    text = unescaped(event_json.line({**record, "delivery": None}))
    if ending is None:
        return text
    from craft_events_cli.render.outcome import outcome_row

    return f"{text}\n{json.dumps(outcome_row(ending), ensure_ascii=False)}"


def unescaped(text: str) -> str:
    """Return JSON with characters in place of their escapes, where that changes anything."""
    return json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":")) if "\\u" in text else text


class _TooSlow(Exception):
    """The time is over."""


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """End the block with `_TooSlow` after so long: `re` looks for signals while it works, and for nothing else."""
    if threading.current_thread() is not threading.main_thread():
        yield  # there no signal is heard
        return

    def end(_number: int, _frame: FrameType | None) -> None:
        raise _TooSlow

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
