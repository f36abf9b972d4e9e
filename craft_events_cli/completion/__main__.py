"""Write the files in `completions/`: `python -m craft_events_cli.completion [DIR]`."""

import sys
from pathlib import Path

from craft_events_cli.completion import files

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "completions")
folder.mkdir(exist_ok=True)
for name, script in files().items():
    (folder / name).write_text(script(), encoding="utf-8", newline="\n")
