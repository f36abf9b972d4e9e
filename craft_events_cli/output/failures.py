"""A file of the deliveries that failed, written as they fail: what is in it survives whatever ends the run."""

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
    """Writes deliveries to a file, a line each; `--ids-from` takes it back.

    Args:
        path: the file; None writes nothing.
        goes_on: keep what is in it: an earlier run that is gone on with wrote it.
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
        """Write one delivery; when this returns the file has it.

        Raises:
            FailuresLost: the disk does not take it.
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
    """Refuse to write over the file that is being read.

    Raises:
        UsageError: both are the same.
    """
    if path is None or ids_from is None or str(ids_from) == "-":
        return
    try:
        is_same = os.path.samefile(path, ids_from)
    except OSError:
        return
    if is_same:
        raise UsageError(
            f"{OPTION} and --ids-from are the same file, which would be lost in a run that is killed",
            hint="name another file for what fails this time",
        )


def _opened(path: Path, *, goes_on: bool) -> int:
    kept = os.O_APPEND if goes_on else os.O_TRUNC
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | kept, 0o600)
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise UsageError(f"{OPTION}: {path} cannot be written: {reason}", hint="name another file") from None
