"""How one attempt ended, and when the next one is due: the retry policy, the signals of handlers, the outcome."""

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
"""An error's text is cut at this many characters."""
MAX_FRAMES: Final = 5
"""This many frames of an error are kept, the innermost last."""
MAX_LEAVES: Final = 10
"""This many exceptions of a group are described."""
_OURS: Final = str(Path(__file__).parents[1])
_LIBRARIES: Final = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
MAX_WAIT: Final = timedelta(days=3650)
"""No wait is longer, whatever a policy or a handler asks for: the calendar has an end."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Says after how long a failed delivery is tried again, and when it is dead.

    Without `delay` the wait grows with the fourth power of the attempt, as Sidekiq's does:
    `min(max_delay, attempt⁴ + 15)` seconds, give or take `jitter`; 20 attempts take about 2 days and 11 hours.

    Args:
        max_attempts: runs that end before the delivery is dead; at least 1.
        delay: seconds between two attempts, always the same; None for the growing wait.
        max_delay: seconds that no wait exceeds, jitter aside.
        jitter: the share of the wait by which it is spread, so that a thousand failures do not return at once.
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
            raise ValueError("delay and max_delay must not be negative, and jitter lies between 0 and 1")

    def wait(self, attempt: int, spread: float = 0.5) -> timedelta:
        """Return the wait after the given attempt (the first is 1); `spread` in [0, 1) places it within the jitter."""
        seconds = float(attempt**4 + 15) if self.delay is None else self.delay
        spread_out = min(self.max_delay, seconds, MAX_WAIT.total_seconds()) * (1 + self.jitter * (2 * spread - 1))
        return timedelta(milliseconds=round(spread_out * 1000))

    def __str__(self) -> str:
        if self == DEFAULT_RETRY:
            return "default"
        return f"{self.max_attempts} × {'growing' if self.delay is None else f'{self.delay:g} s'}"


DEFAULT_RETRY: Final = RetryPolicy()


class Retry(Exception):
    """Asks for another attempt: a signal that a handler raises, not an error.

    Args:
        after: how long to wait, in seconds or as a timedelta; None for the wait of the handler's retry policy.
    """

    after: timedelta | None = None
    """What a class derived from it has that does not say more."""

    def __init__(self, after: float | timedelta | None = None) -> None:
        self.after = None if after is None else _as_wait(after)
        super().__init__(after)

    def __str__(self) -> str:
        return "another attempt, please" if self.after is None else f"another attempt in {self.after}, please"


class Discard(Exception):
    """Gives a delivery up for good, with a reason: a signal that a handler raises, not an error."""

    reason: str = ""
    """What a class derived from it has that does not say more."""

    def __init__(self, reason: str) -> None:
        self.reason = str(reason)
        super().__init__(self.reason)


def signal_of(error: BaseException) -> Retry | Discard | None:
    """Return the signal that an exception is; a group of signals alone is one, too.

    It is the group's first `Retry`: a delivery is given up only where nothing in the group asks for another attempt.
    """
    leaves = leaves_of(error)
    signals = [leaf for leaf in leaves if isinstance(leaf, Retry | Discard)]
    if not leaves or len(signals) < len(leaves):
        return None
    return next((one for one in signals if isinstance(one, Retry)), signals[0])


def leaves_of(error: BaseException) -> list[BaseException]:
    """Return the exceptions that a group holds, at any depth; another exception is its own only leaf."""
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [leaf for inner in error.exceptions for leaf in leaves_of(inner)]


def _as_wait(after: float | timedelta) -> timedelta:
    wait = after if isinstance(after, timedelta) else timedelta(seconds=_finite(after))
    if wait < timedelta(0):
        raise ValueError(f"Retry(after={after!r}): a wait is not negative")
    return wait


def _finite(seconds: float) -> float:
    if not math.isfinite(seconds):
        raise ValueError(f"Retry(after={seconds!r}): a wait is a finite number of seconds")
    return seconds


class OutcomeKind(StrEnum):
    """How a run of a handler ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    RETRY = "retry"
    """The handler raised `Retry`: another attempt, asked for and no error."""
    DISCARDED = "discarded"
    """The handler raised `Discard`: skipped, with a reason."""
    GIVEN_BACK = "given back"
    """The run was broken off from outside: no attempt is counted."""


@dataclass(frozen=True, slots=True)
class ErrorText:
    """What an exception said, made fit for the log: short, and of characters that UTF-8 can carry.

    Args:
        type: the class of the exception; of a group the classes of its leaves.
        message: its text; of a group the texts of its leaves.
        where: the innermost frame of the user's code, as `shop/mail.py:31 in send`; None where there is none.
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
    file = Path(frame.f_code.co_filename)
    return cut(f"{'/'.join(file.parts[-2:])}:{line} in {frame.f_code.co_name}")


def cut(text: str) -> str:
    """Cut a text at `MAX_ERROR_TEXT` characters and escape lone surrogates, which the log cannot keep."""
    short = text if len(text) <= MAX_ERROR_TEXT else text[: MAX_ERROR_TEXT - 1] + "…"
    return short.encode("utf-8", "backslashreplace").decode("utf-8")[:MAX_ERROR_TEXT]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attempt ended; what `dispatch` hands to whoever keeps the record.

    Args:
        handler_id: the handler that ran, as it is registered now.
        attempt: the number of the run, the first is 1.
        took_ms: milliseconds it ran.
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
    """Return a number in [0, 1) that differs between events and attempts, and is always the same."""
    return zlib.crc32(f"{key}:{attempt}".encode("utf-8", "surrogatepass")) / 2**32
