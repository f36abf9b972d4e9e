"""A file of failed deliveries; each is written when it fails, so that a killed run loses none of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from craft_easy.core.events.errors import EventsError
from craft_events_cli.errors import UsageError
from craft_events_cli.output.rows import json_line

OPTION: Final = "--failures-out"


class FailuresLost(EventsError):
    """A failure could not be written to the file that was asked for."""


class Failures:
    """Writes deliveries to a file, one a line, in the format that `--ids-from` reads.

    Args:
        path: the file; with None nothing is written.
        goes_on: append to the file, because this run continues an earlier one.
    """

    def __init__(self, path: Path | None, *, goes_on: bool = False) -> None:
        self._path = path
        self._descriptor = -1 if path is None else _opened(path, goes_on=goes_on)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def write(self, row: Mapping[str, Any]) -> None:
        """Write one delivery; the file contains it when this returns.

        Raises:
            FailuresLost: the file cannot be written.
        """
        if self._descriptor < 0:
            return
        data = json_line(row).encode()
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise FailuresLost(f"{OPTION}: {self._path} cannot be written: {reason}") from error


def check(path: Path | None, ids_from: Path | None) -> None:
    """Refuse to overwrite the file that is being read.

    Raises:
        UsageError: both are the same file.
    """
    if path is None or ids_from is None or str(ids_from) == "-":
        return
    try:
        is_same = os.path.samefile(path, ids_from)
    except OSError:
        return
    if is_same:
        raise UsageError(
            f"{OPTION} and --ids-from name the same file, whose ids would be lost if the run is killed",
            hint="name another file for the failures of this run",
        )


def _opened(path: Path, *, goes_on: bool) -> int:
    kept = os.O_APPEND if goes_on else os.O_TRUNC
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | kept, 0o600)
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise UsageError(f"{OPTION}: {path} cannot be written: {reason}", hint="name another file") from None
