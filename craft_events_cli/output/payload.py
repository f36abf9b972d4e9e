"""The beginning of a payload in one line: `payment_id=p_1 reason="double charge" … 3 more`.

For people, not for programs: long and nested values are cut, and a value that is not text is shown as text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any, Final, NamedTuple
from uuid import UUID

from craft_easy.core.events.store.formats.event_json import text_of, to_json
from craft_events_cli.output.cells import cut, width_of
from craft_events_cli.terminal import safe

MAX_TEXT: Final = 200
"""Only the first characters of a value, and the first values of an array, are read: a line shows no more."""
MAX_LEVELS: Final = 3
WORTH_SHOWING: Final = 8
"""A value is not cut below this width; with less room it is counted as one more field."""
ROOMY: Final = 30
"""Below this width the number of left-out fields is not shown."""
_BARE: Final = re.compile(r'[^\s"=,{}\[\]]+')
_LIKE_ANOTHER_TYPE: Final = re.compile(r"[-+]?[0-9][0-9.eE+-]*|true|false|null")

_TEXTS_OF_BSON: Final = ("ObjectId", "Decimal128")
"""By name: only the store imports the classes."""


class Part(NamedTuple):
    """A piece of text; a dim one is of minor importance."""

    text: str
    is_dim: bool = False


def payload_parts(payload: Mapping[str, Any], room: int) -> Iterator[Part]:
    """Yield a payload in parts of at most `room` columns together: the first fields, then the number of the others."""
    left, is_roomy = len(payload), room >= ROOMY
    for name, value in payload.items():
        is_first = left == len(payload)
        left -= 1
        key, text = f"{'' if is_first else ' '}{_name(name)}=", short(value)
        space = room - width_of(key) - width_of(_more(left, is_roomy=is_roomy))
        if width_of(text) > space and (space < 1 or (space < WORTH_SHOWING and not is_first)):
            yield Part(cut(key + text, room)) if is_first else Part(_more(left + 1, is_roomy=is_roomy), is_dim=True)
            return
        shown = cut(text, space)
        yield Part(key, is_dim=True)
        yield Part(shown)
        room -= width_of(key) + width_of(shown)
        if shown != text:
            yield Part(_more(left, is_roomy=is_roomy), is_dim=True)
            return


def _more(fields: int, *, is_roomy: bool) -> str:
    if not fields:
        return ""
    return f" … {fields:,} more" if is_roomy else " …"


def short(value: Any, levels: int = MAX_LEVELS) -> str:
    """Return a value on one line, shortened, without control characters."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        return _object(value, levels)
    if isinstance(value, (list, tuple)):
        return _array(value, levels)
    if isinstance(value, datetime):
        return text_of(value)
    if isinstance(value, bytes):
        return f"<{len(value):,} bytes>"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, (float, Decimal, UUID)) or type(value).__name__ in _TEXTS_OF_BSON:
        return str(value)
    return safe(to_json(value)[:MAX_TEXT])


def _text(value: str) -> str:
    is_plain = _BARE.fullmatch(value) and not _LIKE_ANOTHER_TYPE.fullmatch(value)
    return safe(value[:MAX_TEXT]) if is_plain else _quoted(value)


def _name(name: str) -> str:
    return safe(name[:MAX_TEXT]) if _BARE.fullmatch(name) else _quoted(name)


def _quoted(value: str) -> str:
    return safe('"' + value[:MAX_TEXT].replace('"', r"\"") + '"')


def _object(value: Mapping[str, Any], levels: int) -> str:
    if not value or not levels:
        return "{…}" if value else "{}"
    fields = [f"{_name(name)}={short(one, levels - 1)}" for name, one in islice(value.items(), MAX_TEXT)]
    return "{" + " ".join(fields) + "}"


def _array(value: Sequence[Any], levels: int) -> str:
    if not value or not levels:
        return "[…]" if value else "[]"
    return "[" + " ".join(short(one, levels - 1) for one in value[:MAX_TEXT]) + "]"
