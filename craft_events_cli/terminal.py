"""The only module that touches the terminal: streams, colour, width, consoles, and text made safe.

stdout carries data only: while a command runs, `sys.stdout` *is* stderr and descriptor 1 leads there, so that neither a
`print` in a handler nor a process that it starts can write between the lines of data. Data goes to `stdout()`, and so
do Typer's help pages, which are printed before a command runs. Everything else (progress, warnings, summaries, errors)
is a `note()`.
"""

from __future__ import annotations

import io
import os
import re
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from enum import StrEnum
from typing import IO, TYPE_CHECKING, BinaryIO, Final, TextIO

from craft_events_cli.data_stream import ENCODABLE, DataDescriptor, StdoutClosed, StdoutFailed

if TYPE_CHECKING:
    from rich.console import Console

STDOUT: Final = 1
STDERR: Final = 2
PIPE_WIDTH: Final = 120
"""The width of a table where there is no terminal."""
MIN_WIDTH: Final = 40
MAX_NOTE: Final = 2_000
"""The maximum length of a line on stderr; an id can be a megabyte long."""

_RED, _YELLOW = "31;1", "33;1"
LEGIBLE: Final = {"32": "38;5;28", "33": "38;5;136", "33;1": "38;5;136;1", "36": "38;5;31"}
"""Green, yellow and cyan are hard to read on white: their like among 256 colours."""
_SHORT: Final = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


class Output(StrEnum):
    """How data is written to stdout."""

    TABLE = "table"
    NDJSON = "ndjson"
    JSON = "json"
    CSV = "csv"


class Color(StrEnum):
    """When output is coloured."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


def safe(text: str) -> str:
    r"""Return the text with each character that a terminal could interpret replaced by an escape.

    These are the Unicode categories Cc, Cf, Cs, Zl and Zp: control characters (C0, DEL, C1), invisible and
    bidirectional marks, lone surrogates, line and paragraph separators.

    >>> safe("a\x1b[31m\u202eb")
    'a\\x1b[31m\\u202eb'
    """
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _shown(character) for character in text)


def _shown(character: str) -> str:
    from unicodedata import category

    if category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return character
    code = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class _State:
    """The streams of this run; one object, so that a test can replace it."""

    stdout: TextIO | None = None
    raw: DataDescriptor | None = None
    color: Color = Color.AUTO
    is_debug: bool = False
    is_service: bool = False


_state = _State()


@contextmanager
def streams(args: Sequence[str] = ()) -> Iterator[None]:
    """Make stdout the stream for data inside the block, and flush it at the end."""
    _open_closed_descriptors()
    plain, data = sys.stdout, _moved(sys.stdout)
    _state.raw, _state.color, _state.is_debug, _state.is_service = None, color_asked_for(args), "--debug" in args, False
    sys.stdout = _state.stdout = _data_stream(plain, data)
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(errors=ENCODABLE)
    try:
        with _rich_colors():
            yield
    finally:
        sys.stdout = plain
        with suppress(StdoutClosed, StdoutFailed):
            flush()
        discard()
        _state.stdout = _state.raw = None
        if data is not None:
            os.dup2(data, STDOUT)
            os.close(data)


@contextmanager
def data_only() -> Iterator[None]:
    """Keep stdout for data while a command runs: output of the user's code goes to stderr."""
    plain, sys.stdout = sys.stdout, sys.stderr
    try:
        yield
    finally:
        sys.stdout = plain


@contextmanager
def _rich_colors() -> Iterator[None]:
    """Apply `--color` to the consoles that Typer makes; they read environment variables only."""
    if _state.color is Color.AUTO:
        yield
        return
    before = {name: os.environ.pop(name, None) for name in ("NO_COLOR", "FORCE_COLOR")}
    os.environ["FORCE_COLOR" if _state.color is Color.ALWAYS else "NO_COLOR"] = "1"
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _open_closed_descriptors() -> None:
    """Open closed standard descriptors on /dev/null, so that no socket to the database gets the number of stdout."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _moved(plain: TextIO | None) -> int | None:
    """Have descriptor 1 lead to stderr, and return a descriptor for data; None where stdout is not descriptor 1.

    No process that is started inherits the new descriptor.
    """
    try:
        if plain is None or plain.fileno() != STDOUT:
            return None
        with suppress(OSError, ValueError):
            plain.flush()
        data = os.dup(STDOUT)
        os.dup2(STDERR, STDOUT)
    except (OSError, ValueError, AttributeError):
        return None
    return data


def _data_stream(plain: TextIO | None, moved: int | None) -> TextIO:
    if plain is None:
        return open(os.devnull, "w", encoding="utf-8")
    try:
        descriptor = plain.fileno() if moved is None else moved
    except (OSError, ValueError, AttributeError):
        return plain
    with suppress(OSError, ValueError):
        plain.flush()
    raw = _state.raw = DataDescriptor(descriptor)
    encoding = plain.encoding if raw.isatty() else "utf-8"
    buffered = io.BufferedWriter(raw, 1 << 16)
    return io.TextIOWrapper(buffered, encoding, errors=ENCODABLE, newline="\n", line_buffering=raw.isatty())


def stdout() -> TextIO:
    """Return the stream for data; `.buffer` takes bytes. A writer for live readers flushes after each line."""
    return _state.stdout if _state.stdout is not None else sys.stdout


def stdin() -> BinaryIO:
    """Return the stream of standard input; one that was closed is empty."""
    return io.BytesIO() if sys.stdin is None else sys.stdin.buffer


def flush() -> None:
    """Flush stdout.

    Raises:
        StdoutClosed: the reader has closed it.
        StdoutFailed: it cannot be written, now or earlier if the command acts on the log.
    """
    stdout().flush()
    if _state.raw is not None and _state.raw.failure is not None:
        raise _state.raw.failure


def discard() -> None:
    """Drop the buffer of stdout: after an interrupt it is unknown how much of it was written."""
    if _state.raw is not None:
        _state.raw.is_over = True


def is_debug() -> bool:
    """Return whether `--debug` was given."""
    return _state.is_debug


def acting() -> None:
    """Mark the run as acting on the log: from here on a closed stdout neither ends it nor changes its exit code."""
    if _state.raw is not None:
        _state.raw.is_acting = True


def serving() -> None:
    """Mark the run as a service: without a terminal each line on stderr begins with its time, in UTC, and its level."""
    _state.is_service = not is_terminal(sys.stderr)


def is_service() -> bool:
    """Return whether stderr is the log of a service."""
    return _state.is_service


def note(text: str, *, label: str = "", label_style: str = "") -> None:
    """Write one line to stderr, safe and without passwords; a closed stderr is ignored."""
    line = safe(redacted(text))
    line = line if len(line) <= MAX_NOTE else line[: MAX_NOTE - 1] + "…"
    if _state.is_service:
        line = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {label.removesuffix(':').upper() or 'INFO'} {line}"
    elif label:
        line = f"{paint(label, label_style, sys.stderr)} {line}"
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


def warn(text: str) -> None:
    """Write a warning to stderr."""
    note(text, label="warning:", label_style=_YELLOW)


def error(text: str) -> None:
    """Write the first line of an error to stderr."""
    note(text, label="error:", label_style=_RED)


def redacted(text: str) -> str:
    """Return the text without passwords; the library is loaded only if the text may contain an address."""
    if "://" not in text and "=" not in text:
        return text
    from craft_easy.core.events.settings import redact

    return redact(text)


def paint(text: str, style: str, stream: IO[str] | None) -> str:
    """Return the text in a colour (an ANSI sequence) if the stream shows colours."""
    return colored(text, style) if is_colored(stream) else text


def colored(text: str, style: str) -> str:
    """Return the text in a colour (an ANSI sequence) that can be read on black and on white, if there are enough."""
    return f"\x1b[{LEGIBLE.get(style, style) if has_many_colors() else style}m{text}\x1b[0m"


def rich_cyan() -> str:
    """Return the name that Rich has for a cyan that can be read on black and on white, if there are enough colours."""
    return f"color({LEGIBLE['36'].rpartition(';')[2]})" if has_many_colors() else "cyan"


def has_many_colors() -> bool:
    """Return whether the terminal has 256 colours."""
    return "256" in os.environ.get("TERM", "") or os.environ.get("COLORTERM", "") in ("truecolor", "24bit")


def is_terminal(stream: IO[str] | None) -> bool:
    """Return whether the stream is a terminal."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def is_pipe(stream: IO[str] | None) -> bool:
    """Return whether the stream goes to another process."""
    try:
        return stream is not None and stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError, AttributeError):
        return False


def is_colored(stream: IO[str] | None) -> bool:
    """Return whether the stream shows colours, by `--color`, then `NO_COLOR`, then the capability of the terminal."""
    if _state.color is not Color.AUTO:
        return _state.color is Color.ALWAYS
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and is_terminal(stream)


def color_asked_for(args: Sequence[str]) -> Color:
    """Read `--color` before Typer parses, because usage errors have colours too."""
    found = re.findall(r"(?:^|\x00)--color[=\x00](\w+)", "\x00".join(args))
    return Color(found[-1]) if found and found[-1] in list(Color) else Color.AUTO


def width(stream: IO[str] | None = None) -> int:
    """Return the width of the terminal, at least `MIN_WIDTH`; `COLUMNS` overrides it."""
    return max(MIN_WIDTH, _columns(stream if stream is not None else stdout()))


def _columns(stream: IO[str]) -> int:
    columns = os.environ.get("COLUMNS", "")
    if columns.isascii() and columns.isdigit() and len(columns) < 6 and int(columns):
        return int(columns)
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return PIPE_WIDTH


def console(*, stderr: bool = False) -> Console:
    """Return a Rich console for data (or, with `stderr`, for progress) that interprets no markup."""
    from rich.console import Console

    stream: IO[str] = sys.stderr if stderr else stdout()
    colored = is_colored(stream)
    return Console(
        file=stream,
        width=width(stream),
        force_terminal=colored or is_terminal(stream),
        no_color=not colored,
        color_system="auto" if colored and is_terminal(stream) else "standard" if colored else None,
        markup=False,
        highlight=False,
        emoji=False,
        legacy_windows=False,
        soft_wrap=False,
    )


def output_format(chosen: Output | None, *, endless: bool = False) -> Output:
    """Return the output format: the chosen one, otherwise a table on a terminal and NDJSON into a pipe.

    Args:
        chosen: the value of `-o`.
        endless: the command does not end by itself, so that an array would never be closed.

    Raises:
        UsageError: `json` for an endless command.
    """
    if chosen is Output.JSON and endless:
        from craft_events_cli.errors import UsageError

        raise UsageError("-o json is one array, and this command does not end", hint="use -o ndjson: one object a line")
    if chosen is not None:
        return chosen
    return Output.TABLE if is_terminal(stdout()) else Output.NDJSON
