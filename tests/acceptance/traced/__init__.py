"""An application whose processes write their spans to files."""

from typing import Final

DIRECTORY: Final = "SPANS_DIRECTORY"
"""The variable that names the directory of the files."""
HANGS: Final = "HANDLER_HANGS"
"""The variable with which the handler never ends."""
