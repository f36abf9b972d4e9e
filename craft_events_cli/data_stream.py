"""The descriptor that data is written to: a reader that has gone is told from a failure, whatever the encoding."""

import codecs
import io
import os
from typing import Final

_PLAIN: Final = dict(zip("·…–→←✓✗×≤│├└─━╸", "-~-><+xx<||`---", strict=True))
"""Signs of this program, and the ones that take their places where the terminal's encoding has none."""


class StdoutClosed(Exception):
    """The reader of stdout has closed it."""


class StdoutFailed(Exception):
    """Data could not be written to stdout."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(f"cannot write to standard output: {cause.strerror or cause}")


class DataDescriptor(io.RawIOBase):
    """The file descriptor of stdout: tells a closed pipe from a failure, and ignores both if the command acts."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self.descriptor = descriptor
        self.is_acting = False
        self.is_over = False
        self.failure: StdoutFailed | None = None

    def fileno(self) -> int:
        return self.descriptor

    def isatty(self) -> bool:
        return os.isatty(self.descriptor)

    def writable(self) -> bool:
        return True

    def write(self, data: object, /) -> int:
        chunk = memoryview(data)  # type: ignore[arg-type]  # any buffer of bytes
        if self.is_over:
            return len(chunk)
        try:
            return self._write(chunk)
        except BrokenPipeError:
            self.is_over = True
            if not self.is_acting:
                raise StdoutClosed from None
        except OSError as error:
            self.is_over = True
            self.failure = StdoutFailed(error)
            if not self.is_acting:
                raise self.failure from error
        return len(chunk)

    def _write(self, chunk: memoryview) -> int:
        while True:
            try:
                return os.write(self.descriptor, chunk)
            except BlockingIOError:
                from select import select

                select([], [self.descriptor], [])


ENCODABLE: Final = "craft-events.encodable"


def _encodable(error: UnicodeError) -> tuple[str, int]:
    """Replace each character that an encoding lacks by a plain one of the same width, or else by its escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_PLAIN.get(sign) or ascii(sign)[1:-1] for sign in text), error.end


codecs.register_error(ENCODABLE, _encodable)
