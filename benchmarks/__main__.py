"""Run every benchmark, or those that are named: `python -m benchmarks [events] [publish] [replay] [startup] …`.

Each prints a table of ratios to a floor that is measured in the same run, and tells by its exit code whether a limit was
missed; a busy machine makes all of it slower, and the ratios less certain.
"""

import sys
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).parent


def main(names: list[str]) -> int:
    """Run the benchmarks and return 1 where one of them missed a limit."""
    known = sorted(file.stem.removeprefix("bench_") for file in HERE.glob("bench_*.py"))
    unknown = sorted(set(names) - set(known))
    if unknown:
        print(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    missed = []
    for name in names or known:
        module = import_module(f"benchmarks.bench_{name}")
        print(f"\n{name}: {(module.__doc__ or '').splitlines()[0]}\n", flush=True)
        if module.main([]):
            missed.append(name)
    print(f"\nmissed a limit: {', '.join(missed)}" if missed else "\nall limits are kept")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
