"""`--grep`: a text that an event must contain."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from craft_easy.core.events.history.endings import Ending


def search_text(text: str) -> str:
    """Read a text to search for; it must not be empty."""
    if not text:
        raise ValueError("an empty text matches every event")
    return text


class Grep:
    """Matches events, and deliveries of them that ended, that contain one of the texts.

    The text of an event is its line of Event JSON as `-o ndjson` writes it, without its deliveries and with characters
    in place of escapes; a delivery is searched together with its event.
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
