"""The outcome of an attempt, the signals that a handler may raise, and the retry policy."""

from __future__ import annotations

import math
import sysconfig
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from traceback import walk_tb
from types import FrameType
from typing import Final, Self

MAX_ERROR_TEXT: Final = 2_000
"""The maximum length of an error's text, in characters."""
MAX_FRAMES: Final = 5
"""The maximum number of frames that are kept of an error, the innermost last."""
MAX_LEAVES: Final = 10
"""The maximum number of exceptions of a group that are described."""
_OURS: Final = str(Path(__file__).parents[1])
_LIBRARIES: Final = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
MAX_WAIT: Final = timedelta(days=3650)
"""The longest wait that a policy or a handler can set, because the calendar has an end."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The waits between the attempts of a failing delivery, and their maximum number.

    Without `delay` the wait grows with the fourth power of the attempt, as in Sidekiq:
    `min(max_delay, attempt⁴ + 15)` seconds, give or take `jitter`; 20 attempts take about 2 days and 11 hours.

    Args:
        max_attempts: the number of failed attempts after which the delivery is dead; at least 1.
        delay: a constant wait in seconds; None for the growing wait.
        max_delay: the longest wait in seconds, apart from jitter.
        jitter: the share of the wait by which it is spread, so that a thousand failures are not retried at once.
    """

    max_attempts: int = 20
    delay: float | None = None
    max_delay: float = 6 * 3600.0
    jitter: float = 0.1

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ValueError(f"max_attempts must be at least 1, not {self.max_attempts}")
        delays = (self.max_delay,) if self.delay is None else (self.delay, self.max_delay)
        if not all(delay >= 0 for delay in delays) or not 0 <= self.jitter <= 1:
            raise ValueError("delay and max_delay must not be negative, and jitter must be between 0 and 1")

    def wait(self, attempt: int, spread: float = 0.5) -> timedelta:
        """Return the wait after an attempt (the first is 1); `spread` in [0, 1) is its place within the jitter."""
        seconds = float(attempt**4 + 15) if self.delay is None else self.delay
        with_jitter = min(self.max_delay, seconds, MAX_WAIT.total_seconds()) * (1 + self.jitter * (2 * spread - 1))
        return timedelta(milliseconds=round(with_jitter * 1000))

    def __str__(self) -> str:
        if self == DEFAULT_RETRY:
            return "default"
        if self.max_attempts == 1:
            return "1 attempt"
        return f"{self.max_attempts} × {'growing' if self.delay is None else f'{self.delay:g} s'}"


DEFAULT_RETRY: Final = RetryPolicy()


class Retry(Exception):
    """Asks for another attempt: a signal that a handler raises, not an error.

    Args:
        after: the wait in seconds or as a timedelta; None for that of the handler's retry policy.
    """

    after: timedelta | None = None
    """The default for a subclass that does not call this `__init__`."""

    def __init__(self, after: float | timedelta | None = None) -> None:
        self.after = None if after is None else as_wait(after)
        super().__init__(after)

    def __str__(self) -> str:
        return "retry requested" if self.after is None else f"retry requested in {self.after}"


class Discard(Exception):
    """Gives up a delivery for good, with a reason: a signal that a handler raises, not an error."""

    reason: str = ""
    """The default for a subclass that does not call this `__init__`."""

    def __init__(self, reason: str) -> None:
        self.reason = str(reason)
        super().__init__(self.reason)


def signal_of(error: BaseException) -> Retry | Discard | None:
    """Return an exception as a signal; None if it is an error.

    A group that consists of signals alone stands for its first `Retry`, or for its first `Discard` where it has none.
    """
    leaves = leaves_of(error)
    signals = [leaf for leaf in leaves if isinstance(leaf, Retry | Discard)]
    if not leaves or len(signals) < len(leaves):
        return None
    return next((signal for signal in signals if isinstance(signal, Retry)), signals[0])


def leaves_of(error: BaseException) -> list[BaseException]:
    """Return the exceptions in a group, at any depth; any other exception is its own only leaf."""
    leaves, rest = list[BaseException](), [error]
    while rest:  # a loop: groups may be nested deeper than the recursion limit
        inner = rest.pop()
        if isinstance(inner, BaseExceptionGroup):
            rest.extend(reversed(inner.exceptions))
        else:
            leaves.append(inner)
    return leaves


def as_wait(after: float | timedelta) -> timedelta:
    """Return the wait that a handler asks for, in seconds or as a timedelta, as a timedelta."""
    wait = after if isinstance(after, timedelta) else timedelta(seconds=_finite(after))
    if wait < timedelta(0):
        raise ValueError(f"Retry(after={after!r}): the wait must not be negative")
    return wait


def _finite(seconds: float) -> float:
    if not math.isfinite(seconds):
        raise ValueError(f"Retry(after={seconds!r}): the wait must be a finite number of seconds")
    return seconds


class OutcomeKind(StrEnum):
    """The kinds of outcomes."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    RETRY = "retry"
    """The handler raised `Retry`, which asks for another attempt and is not an error."""
    DISCARDED = "discarded"
    """The handler raised `Discard`, which skips the delivery with a reason."""
    GIVEN_BACK = "given back"
    """The run was broken off from outside, and does not count as an attempt."""


@dataclass(frozen=True, slots=True)
class ErrorText:
    """The text of an exception in the form that the log keeps: short, and without lone surrogates.

    Args:
        type: the class of the exception; of a group the classes of its leaves.
        message: its text; of a group the texts of its leaves.
        where: the innermost frame of the user's code, as `shop/mail.py:31 in send`; None without one.
        frames: the last few frames, the innermost last.
    """

    type: str
    message: str
    where: str | None = None
    frames: tuple[str, ...] = ()

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """Describe an exception, even one whose `str()` raises."""
        leaves = leaves_of(error)[:MAX_LEAVES] or [error]
        places = [(frame.f_code.co_filename, _place(frame, line)) for frame, line in _steps(leaves[0], error)]
        users = [place for file, place in places if not file.startswith(_LIBRARIES)]
        types = dict.fromkeys(type(leaf).__qualname__ for leaf in leaves)
        return cls(
            cut(", ".join(types)),
            cut("; ".join(map(_message, leaves))),
            users[-1] if users else None,
            tuple(place for _, place in places[-MAX_FRAMES:]),
        )


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except KeyboardInterrupt:
        raise
    except BaseException as broken:  # noqa: BLE001 - the text of a user's exception is the user's code
        return f"(its text could not be read: {type(broken).__name__})"


def _steps(leaf: BaseException, error: BaseException) -> Iterator[tuple[FrameType, int]]:
    """Yield the frames of an exception with their lines, outermost first, without those of this package."""
    for frame, line in walk_tb(leaf.__traceback__ or error.__traceback__):
        if not frame.f_code.co_filename.startswith(_OURS):
            yield frame, line


def _place(frame: FrameType, line: int) -> str:
    """Return file, line and function of a frame; of the file's path the part that its module's name has."""
    file, module = Path(frame.f_code.co_filename), str(frame.f_globals.get("__name__", ""))
    depth = module.count(".") + 1 + (file.stem == "__init__")
    return cut(f"{'/'.join(file.parts[-depth:])}:{line} in {frame.f_code.co_name}")


def cut(text: str) -> str:
    """Cut a text at `MAX_ERROR_TEXT` characters and escape lone surrogates, which the log cannot keep."""
    short = text if len(text) <= MAX_ERROR_TEXT else text[: MAX_ERROR_TEXT - 1] + "…"
    return short.encode("utf-8", "backslashreplace").decode("utf-8")[:MAX_ERROR_TEXT]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one attempt.

    Args:
        handler_id: the handler that ran, as it is registered now.
        attempt: the number of the run, the first is 1.
        took_ms: milliseconds that it ran.
        error: set when `kind` is FAILED.
        after: set when `kind` is RETRY and the handler named a wait.
        reason: set when `kind` is DISCARDED.
        retry: the handler's policy.
    """

    handler_id: str
    kind: OutcomeKind
    attempt: int = 1
    took_ms: float = 0.0
    error: ErrorText | None = None
    after: timedelta | None = None
    reason: str | None = None
    retry: RetryPolicy = DEFAULT_RETRY


def spread(key: str, attempt: int) -> float:
    """Return a number in [0, 1) that depends on the event and the attempt alone."""
    return zlib.crc32(f"{key}:{attempt}".encode("utf-8", "surrogatepass")) / 2**32
