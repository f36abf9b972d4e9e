"""Readers of option values: a text in, a value out, or a `ValueError` whose message says what to try."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

import typer

from craft_easy.core.events.model.times import parse_moment
from craft_events_cli.expanding import MAX_NUMBER

MAX_DEADLINE: Final = 86_400.0
MAX_DIGITS: Final = 19
MAX_PORT: Final = 65_535


def reads(convert: Callable[[str], Any]) -> Callable[[Any], Any]:
    """Return a converter as Typer's `parser=` needs it: a `ValueError` is a bad parameter, a default stays as it is."""

    @wraps(convert)
    def parse(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return convert(value)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    return parse


def seconds(text: str) -> float:
    """Read a duration: `10`, `0.5`, `30s`, `5m`, `1h30m`; in seconds."""
    try:
        if len(text) <= 15 and text.isascii() and text.replace(".", "", 1).isdigit():
            return float(text)
        ago = parse_moment(text).ago
    except ValueError:
        ago = None
    if ago is None:
        raise ValueError(f'"{text[:80]}" is not a valid duration. Try 10, 30s or 5m')
    return ago.total_seconds()


def deadline(text: str) -> float:
    """Read a duration that limits a call of the database: a day at most, in seconds."""
    found = seconds(text)
    if found > MAX_DEADLINE:
        raise ValueError(f'"{text[:80]}" is too long, the maximum is a day')
    return found


def whole_number(text: str) -> int:
    """Read a whole number of at least 0, in ASCII digits, that MongoDB can store."""
    if not (text.isascii() and text.isdigit()) or len(text) > MAX_DIGITS or int(text) > MAX_NUMBER:
        raise ValueError(f'"{text[:80]}" is not a whole number of at least 0')
    return int(text)


def pattern(text: str) -> str:
    """Check a pattern of event types."""
    if not text:
        raise ValueError("an empty pattern matches nothing. Try 'order.*' or '*'")
    return text


def port_number(text: str) -> int:
    """Read a port's number."""
    if not (text.isascii() and text.isdigit()) or len(text) > 5 or not 1 <= int(text) <= MAX_PORT:
        raise ValueError(f'"{text[:80]}" is not a port: 1 to {MAX_PORT}')
    return int(text)
