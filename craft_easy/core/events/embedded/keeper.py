"""The keeper: a process that stops the embedded server once its last user is gone, even if that was killed.

    python -m craft_easy.core.events.embedded.keeper DIR

A user who leaves in an orderly way stops the server itself. One that is killed, or that ends by a signal as uvicorn
does, only frees its lock; the keeper sees this within a second. It ends when the server does.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from typing import Final

from craft_easy.core.events.embedded import server
from craft_easy.core.events.embedded.directory import Directory
from craft_easy.core.events.errors import EmbeddedLogError

LOOK_SECONDS: Final = 0.5
_MAX_INHERITED: Final = 256


def keep(directory: str) -> None:
    """Stop the server of a directory when no process uses it any more; return when it is gone.

    A server that does not answer, because it still recovers, is left until it does.
    """
    place = Directory.open(directory)
    while place.is_served():
        time.sleep(LOOK_SECONDS)  # nothing announces that the last user has left
        with suppress(EmbeddedLogError), place.gate(deadline=0):
            note = place.note()
            if note and not place.is_used() and server.is_answering(note.port):
                server.stop(place, note)


if __name__ == "__main__":
    os.closerange(3, _MAX_INHERITED)  # server.lock is among them: it belongs to the server alone
    keep(sys.argv[1])
