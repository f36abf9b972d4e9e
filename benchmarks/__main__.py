"""Run the benchmarks that have limits, or the named ones: `python -m benchmarks [events] [publish] [replay] …`.

Each prints a table of ratios to a floor that is measured in the same run, and exits with 1 if a limit is missed; on a
busy machine everything is slower and the ratios are less certain.
"""

import ast
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
UNLIMITED = "scale"
"""Prints figures for docs/explanation/performance.md; takes long."""


def main(names: list[str]) -> int:
    """Run the benchmarks, each in its own process, and return 1 if one of them missed a limit."""
    known = {file.stem.removeprefix("bench_"): file for file in sorted(HERE.glob("bench_*.py"))}
    unknown = sorted(set(names) - set(known))
    if unknown:
        print(f"no such benchmark: {', '.join(unknown)}; choose from {', '.join(known)}", file=sys.stderr)
        return 2
    chosen = names or [name for name in known if name != UNLIMITED]
    missed = [name for name in chosen if _run(name, known[name])]
    print(f"\nmissed a limit: {', '.join(missed)}" if missed else "\nall limits were met")
    return 1 if missed else 0


def _run(name: str, file: Path) -> int:
    said = ast.get_docstring(ast.parse(file.read_text())) or name
    print(f"\n{name}: {said.splitlines()[0]}\n", flush=True)
    return subprocess.run([sys.executable, str(file)], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
