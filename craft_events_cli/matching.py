"""`--grep`: a text that an event must contain."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from craft_easy.core.events.history.endings import Ending


def search_text(text: str) -> str:
    """Read a text to search for: any but an empty one."""
    if not text:
        raise ValueError("an empty text is in every event")
    return text


class Grep:
    """Returns whether an event, or a delivery of it that ended, contains one of the texts.

    An event is searched as the line of Event JSON that `-o ndjson` writes, with characters in place of their escapes
    and without its deliveries; a delivery that ended as that and its own line.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts

    def __call__(self, record: Mapping[str, Any], ending: Ending | None) -> bool:
        line = _line_of(record, ending)
        return any(text in line for text in self._texts)


def _line_of(record: Mapping[str, Any], ending: Ending | None) -> str:
    from craft_easy.core.events.store.formats import event_json

    line = _unescaped(event_json.line({**record, "delivery": None}))
    if ending is None:
        return line
    from craft_events_cli.output.outcome import outcome_row

    return f"{line}\n{json.dumps(outcome_row(ending), ensure_ascii=False)}"


def _unescaped(text: str) -> str:
    """Return JSON with characters in place of their escapes."""
    return json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":")) if "\\u" in text else text
