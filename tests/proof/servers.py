"""An embedded log for the proof that can be killed and restarted on the same directory and port."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from craft_easy.core.events import embedded

START_S = 60.0


class Server:
    """A share in the embedded log of a directory.

    Attributes:
        uri: its address, the same after a kill.
        kills: how often it was killed.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._shares = ExitStack()
        self._log = self._shares.enter_context(embedded.join(directory, timeout=START_S))
        self.uri = self._log.uri
        self.kills = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.leave()

    def leave(self) -> None:
        """Give up the share; the server ends with the last one."""
        self._shares.close()

    async def kill(self, away_s: float) -> None:
        """Kill the server with SIGKILL, and restart it after a while."""
        os.kill(self._log.pid, signal.SIGKILL)
        self.kills += 1
        while self._log.is_running():  # noqa: ASYNC110 - it has to be polled
            await asyncio.sleep(0.005)
        await asyncio.sleep(away_s)
        again = await asyncio.to_thread(embedded.join, self._directory, port=urlsplit(self.uri).port, timeout=START_S)
        self._log = self._shares.enter_context(again)
