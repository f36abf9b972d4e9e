"""`make proof`: kill processes at every point, and the server, and check that nothing is lost."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.proof import plans, table, verdict
from tests.proof.plans import Plan
from tests.proof.rounds import LEASE, Result, Round
from tests.proof.servers import Server
from tests.support import kill, surroundings

KILLS: Final = 500
AT_ONCE: Final = 4
LONGEST_S: Final = 60 * 60


class Progress:
    """One line of progress on stderr."""

    def __init__(self, rounds: int, kills: int) -> None:
        self._rounds, self._all_kills = rounds, kills
        self._began = time.monotonic()
        self._is_terminal = sys.stderr.isatty()
        self.kills = self.ended = self.findings = 0

    def killed(self, _point: str) -> None:
        """Count a kill."""
        self.kills += 1
        if self._is_terminal or self.kills % 25 == 0:
            self.show()

    def round_ended(self, result: Result) -> None:
        """Count a round, and print its findings at once."""
        self.ended += 1
        self.findings += len(result.findings)
        if result.findings:
            print(f"\n{result.directory}: {result.plan}", file=sys.stderr)
        rules = Counter(finding.rule for finding in result.findings)
        for rule, times in rules.items():
            first = next(finding for finding in result.findings if finding.rule == rule)
            print(f"    {times} × {first}", file=sys.stderr)

    def show(self) -> None:
        """Write the line."""
        took = time.monotonic() - self._began
        line = f"{self.kills}/{self._all_kills} kills, {self.ended}/{self._rounds} rounds, {self.findings} findings"
        print(f"→ {line}, {took:.0f} s", end="\r" if self._is_terminal else "\n", file=sys.stderr, flush=True)


async def prove(chosen: Sequence[Plan], directory: Path, *, at_once: int = AT_ONCE) -> list[Result]:
    """Run rounds, and then more rounds for the points that no process reached."""
    results = await run(chosen, directory / "1", at_once=at_once)
    if missed := missed_points(results):
        results += await run(plans.towards(missed, chosen[0].seed), directory / "2", at_once=at_once)
    return results


def missed_points(results: Sequence[Result]) -> list[str]:
    """Return the points at which no process was killed."""
    made = table.rows(results)
    return [point for point in kill.POINTS if not made[point].kills]


async def run(chosen: Sequence[Plan], directory: Path, *, at_once: int = AT_ONCE) -> list[Result]:
    """Run rounds, several at a time, and return their results."""
    progress = Progress(len(chosen), sum(plan.kills for plan in chosen))
    slots = asyncio.Semaphore(at_once)

    async def one(number: int, plan: Plan) -> Result:
        place = directory / f"{number}"
        async with slots:
            server = await asyncio.to_thread(Server, place / "server")
            try:
                result = await Round(plan, server, place, progress.killed).run()
            finally:
                await asyncio.to_thread(server.leave)
        progress.round_ended(result)
        return result

    async with asyncio.timeout(LONGEST_S), asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(number, plan)) for number, plan in enumerate(chosen)]
    progress.show()
    return [task.result() for task in tasks]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the proof and return 0 if nothing is lost and no rule is broken."""
    given = _parser().parse_args(arguments)
    surroundings.clear()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # SIGTERM ends the started processes too
    directory = Path(tempfile.mkdtemp(prefix="craft-proof-"))
    print(f"→ seed {given.seed}, in {directory}, which is kept if a rule is broken", file=sys.stderr)
    if given.see_a_loss:
        code = _see_a_loss(asyncio.run(run([plans.weak(given.seed)], directory)))
    else:
        chosen = plans.long(given.kills, given.seed)
        code = _report(asyncio.run(prove(chosen, directory, at_once=given.at_once)))
    if not code:
        shutil.rmtree(directory)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("make proof", description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS, help="minimum number of kills (%(default)s)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="seed of all random choices")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help="rounds that run at the same time (%(default)s)")
    parser.add_argument(
        "--see-a-loss", action="store_true", help="write without a journal; fail unless a loss is found"
    )
    return parser


def _report(results: Sequence[Result]) -> int:
    made = table.rows(results)
    print("\n".join(table.lines(made)))
    whole, found = table.total(made), sum(len(result.findings) for result in results)
    missed = missed_points(results)
    print(f"{whole.kills} kills, {whole.acknowledged:,} events acknowledged, {whole.lost} lost, {found} findings")
    if alive := sum(len(verdict.taken_over_alive(result.history)) for result in results):
        print(f"{alive} were silent for longer than their lease of {LEASE:g} s and were taken over while they lived")
    if missed:
        print(f"not reached by any process: {', '.join(missed)}")
    return int(bool(found or missed))


def _see_a_loss(results: Sequence[Result]) -> int:
    lost = [finding for result in results for finding in result.findings if finding.rule in verdict.LOST]
    print(f"without a journal {len(lost)} were lost and detected: {lost[0]}" if lost else "no loss was detected")
    return int(not lost)


if __name__ == "__main__":
    sys.exit(main())
