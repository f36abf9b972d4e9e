"""The value of a setting, its origin, and the error for a value that cannot be used."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from craft_easy.core.events.errors import InvalidSetting

T = TypeVar("T")

DEFAULT_ORIGIN: Final = "the default"

_USER_INFO: Final = r"(://[^\s:/@]*:)\S*(?=@)"
_SECRET_OPTION: Final = r"(?i)((?:proxyPassword|tlsCertificateKeyFilePassword|AWS_SESSION_TOKEN)[=:])[^&,\s]*"


@dataclass(frozen=True, slots=True)
class Value(Generic[T]):
    """A setting's value and its origin: a flag, a variable, a file or the default."""

    value: T
    origin: str

    @property
    def is_default(self) -> bool:
        """Return whether it is the default."""
        return self.origin == DEFAULT_ORIGIN

    def __repr__(self) -> str:
        return f"Value({redact(repr(self.value))}, {self.origin!r})"


def redact(text: str) -> str:
    """Return the text with each password in it replaced by `***`."""
    if "://" not in text and "=" not in text:
        return text
    return re.sub(_SECRET_OPTION, r"\1***", re.sub(_USER_INFO, r"\1***", text))


def invalid(setting: str, value: Value[Any], reason: str, *, hint: str | None = None) -> InvalidSetting:
    """Return the error for a value that cannot be used; it names the origin."""
    if value.origin.startswith("--"):
        return InvalidSetting(value.origin, reason, hint=hint)
    return InvalidSetting(setting, reason, origin=value.origin, hint=hint)


def quoted(text: str) -> str:
    """Return a text for a message: in quotes, cut, without passwords."""
    short = text if len(text) <= 80 else text[:79] + "…"
    return f'"{redact(short)}"'


def closest(word: str, known: list[str]) -> str | None:
    """Return the known word that is closest to a wrong one; None if none is close."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(word[:200], known, n=1)), None)
