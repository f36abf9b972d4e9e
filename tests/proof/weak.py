"""Runs another module of the proof, or the command line, with writes that do not wait for the server's journal.

`python -m tests.proof.weak MODULE ARGUMENT…`: a killed server then loses acknowledged writes, and the proof must
detect it.
"""

from __future__ import annotations

import runpy
import sys

from pymongo import WriteConcern

from craft_easy.core.events.store import drivers

if __name__ == "__main__":
    drivers.MAJORITY = WriteConcern(1, j=False)  # type: ignore[misc]
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
