"""Patterns over event types: one function serves `subscribe`, the store's queries and `--type`."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from typing import Final

_WILDCARDS: Final = re.compile(r"([*?]+)")
_END: Final = r"(?![\s\S])"
"""The true end of the text: `$` would also stop before a trailing newline."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern over event types: `*` is any run of characters, dots included, `?` is one, all else is literal.

    Args:
        text: the pattern as it was written.
        is_exact: it holds no wildcard, so it matches the type of its own text and nothing else.
        prefix: what every matching type starts with: the literal text before the first wildcard.
        regex: the same as an anchored regular expression that Python's `re` and PCRE (MongoDB's `$regex`) both read.
    """

    text: str
    is_exact: bool
    prefix: str
    regex: str
    _compiled: re.Pattern[str] = field(repr=False, compare=False)

    def matches(self, event_type: str) -> bool:
        """Tell whether the whole event type matches."""
        if self.is_exact:
            return event_type == self.text
        return self._compiled.match(event_type) is not None


@functools.lru_cache(maxsize=1024)
def compile_pattern(pattern: str) -> Pattern:
    """Return the compiled form of a pattern.

    >>> compile_pattern("payment.*").matches("payment.refund.failed")
    True

    Raises:
        ValueError: the pattern is empty.
        TypeError: it is not a string.
    """
    if not isinstance(pattern, str):
        raise TypeError(f"a pattern is a string such as 'payment.*', not {pattern!r}")
    if not pattern:
        raise ValueError("a pattern must not be empty; '*' matches every event type")
    literal, *rest = _WILDCARDS.split(pattern)
    regex = "^" + _escape(literal) + "".join(map(_translate, rest)) + _END
    return Pattern(pattern, is_exact=not rest, prefix=literal, regex=regex, _compiled=re.compile(regex))


def _translate(part: str) -> str:
    if part.startswith(("*", "?")):
        return r"[\s\S]" * part.count("?") + r"[\s\S]*" * ("*" in part)
    return _escape(part)


def _escape(text: str) -> str:
    return re.escape(text).replace("\0", r"\x00")
