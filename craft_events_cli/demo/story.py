"""The demo step by step: a shop at work, a killed process, four commands, the repair, the comparison."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import fill
from typing import Final

from craft_events_cli import terminal
from craft_events_cli.demo import ledger
from craft_events_cli.demo.proof import Proof, Record, undone
from craft_events_cli.demo.stage import PROGRAM, PublishingProcess, Stage

EVENTS: Final = 240
"""Events that are published before the kill."""
LIVE_EVENTS: Final = 12
TEXT_WIDTH: Final = 76
SHOWN: Final = 5
"""At most this many keys are named of what is missing."""

_BOLD, _DIM, _GREEN, _RED, _COMMAND = "1", "2", "32;1", "31;1", "36;1"
_COMMENTS_AT: Final = 34


def tell(directory: Path | None, *, pause: float) -> bool:
    """Run the demo and return whether its comparison found everything.

    Args:
        directory: a directory to keep the log in; None for a temporary one.
        pause: seconds to wait after each paragraph.
    """
    began = time.monotonic()
    with Stage(directory) as stage:
        story = Story(stage, pause=pause)
        proof = story.play()
        story.conclude(proof, time.monotonic() - began)
    return proof.holds


class Story:
    """Runs the steps of the demo one after another."""

    def __init__(self, stage: Stage, *, pause: float) -> None:
        self._stage = stage
        self._pause = pause
        self._number = 0

    def play(self) -> Proof:
        """Run every step and return the numbers of the comparison."""
        self._show_the_place()
        publisher = self._open_the_shop()
        in_flight = self._kill(publisher)
        self._show_history()
        self._repair()
        return self._count(publisher, in_flight)

    def _show_the_place(self) -> None:
        self._begin("An event log of its own")
        self._say("A small MongoDB-compatible server, started for this demo alone. Your own databases are not touched.")
        self._type("cd", str(self._stage.directory))
        for name, value in self._stage.settings.items():
            self._type("export", f"{name}={value}")
        self._say("The shop has four handlers. Two run while the publisher waits, two in the background.")
        self._run("handlers", "list")

    def _open_the_shop(self) -> PublishingProcess:
        self._begin("The shop opens")
        publisher = self._stage.open_shop()
        self._say(
            f"Process {publisher.pid} takes orders. Each event is stored before its handlers run, and the outcome of "
            f"each handler is stored afterwards. {LIVE_EVENTS} events as they arrive:"
        )
        publisher.wait_until(1)
        self._run("tail", "-n", "0", "--limit", str(LIVE_EVENTS))
        publisher.wait_until(EVENTS)
        return publisher

    def _kill(self, publisher: PublishingProcess) -> frozenset[str]:
        self._begin("The shop is killed")
        publisher.kill()
        self._type("kill", "-9", str(publisher.pid))
        records = list(self._records())
        in_flight = frozenset(key for record in records for key in undone(record))
        affected = sum(bool(undone(record)) for record in records)
        self._say(
            f"It had published {len(publisher.published):,} events, and had no chance to clean up. "
            f"{len(in_flight):,} deliveries of {affected:,} events were in flight: not done, or done and not yet "
            "stored as done. No process has them in memory any more, but the log has them:"
        )
        return in_flight

    def _show_history(self) -> None:
        self._run("replay", "--state", "open", "--limit", "6")

    def _repair(self) -> None:
        self._begin("The repair")
        self._say(
            "The dead process owns those events until its lease has expired: 3 seconds here, 30 by default. "
            "Then redispatch takes them over and runs the handlers that are not done, and only those."
        )
        self._run("redispatch", "--wait")

    def _count(self, publisher: PublishingProcess, in_flight: frozenset[str]) -> Proof:
        proof = Proof.of(
            publisher.published, self._records(), in_flight=in_flight, ledger=ledger.read(self._stage.ledger)
        )
        self._begin("The count")
        self._say(
            "Each handler also wrote a line to a ledger, a plain file that is independent of the log. The two compared:"
        )
        for number, text in _table(proof):
            self._paragraph(f"{number:>9,}  ", text)
        for key in _complaints(proof):
            self._write(terminal.paint(f"  {terminal.safe(key)}", _RED, terminal.stdout()))
        return proof

    def _records(self) -> Iterator[Record]:
        return map(json.loads, self._stage.read("replay", "-o", "ndjson").splitlines())

    def conclude(self, proof: Proof, seconds: float) -> None:
        """Write the verdict and suggested commands."""
        verdict, color = ("Nothing is missing.", _GREEN) if proof.holds else ("The count is wrong.", _RED)
        self._write("", terminal.paint(verdict, color, terminal.stdout()) + f" The demo took {seconds:.0f} s.")
        self._write("", terminal.paint("What to type next", _BOLD, terminal.stdout()))
        for command, purpose in _next_steps(self._stage):
            self._write(*_step(command, purpose))

    # output

    def _begin(self, title: str) -> None:
        self._number += 1
        self._write("", terminal.paint(f"{self._number}  {title}", _BOLD, terminal.stdout()))

    def _say(self, text: str) -> None:
        self._paragraph("   ", text)
        time.sleep(self._pause)

    def _paragraph(self, lead: str, text: str) -> None:
        width = min(TEXT_WIDTH, terminal.width() - 1)
        self._write(fill(text, width, initial_indent=lead, subsequent_indent=" " * len(lead)))

    def _run(self, *args: str) -> None:
        shown = args if terminal.is_terminal(terminal.stdout()) else (*args, "-o", "table")
        self._type(PROGRAM, *shown)
        self._stage.run(*shown)
        time.sleep(self._pause)

    def _type(self, *words: str) -> None:
        self._write(terminal.paint(f"$ {terminal.safe(shlex.join(words))}", _COMMAND, terminal.stdout()))

    def _write(self, *lines: str) -> None:
        terminal.stdout().write("".join(f"{line}\n" for line in lines))
        terminal.flush()


def _table(proof: Proof) -> Iterator[tuple[int, str]]:
    """Yield each number of the comparison with its description."""
    yield len(proof.published), "publishes had returned when the process was killed"
    yield len(proof.stored), f"events are in the log: {_none_or(len(proof.lost), 'of those is missing')}"
    yield len(proof.deliveries), "deliveries belong to them: each event × each of its handlers"
    handled = proof.deliveries & proof.ledger.keys()
    yield len(handled), f"of them are in the ledger: {_none_or(len(proof.missing), 'is missing')}"
    yield len(proof.in_flight), "were in flight at the kill"
    yield len(proof.repeated & proof.in_flight), "of these ran twice: done, but not yet stored as done"
    yield len(proof.wrongly_repeated), "others ran twice"


def _none_or(number: int, what: str) -> str:
    return f"{number:,} {what}" if number else f"none {what}"


def _complaints(proof: Proof) -> Iterator[str]:
    """Yield what is wrong, by its key."""
    for what, keys in (
        ("not stored", proof.lost),
        ("not handled", proof.missing),
        ("not done", proof.undone),
        ("handled again without need", proof.wrongly_repeated),
    ):
        yield from (f"{what}: {key}" for key in sorted(keys)[:SHOWN])


def _next_steps(stage: Stage) -> Iterator[tuple[str, str]]:
    """Yield commands and their purposes."""
    if stage.is_kept:
        yield shlex.join(["cd", str(stage.directory)]), "the log of this demo is here"
        for name, value in stage.settings.items():
            yield shlex.join(["export", f"{name}={value}"]), ""
        yield f"{PROGRAM} replay --tenant acme --limit 10", "what happened at one tenant"
        yield f"{PROGRAM} redispatch --dry-run", "what is left to deliver: nothing"
    else:
        yield f"{PROGRAM} demo --dir ./demo", "run it again and keep the log"
        yield f"{PROGRAM} serve ./events", "a log of your own, without MongoDB"
    yield f"{PROGRAM} --help", "every command"


def _step(command: str, purpose: str) -> list[str]:
    line = f"  {terminal.safe(command)}"
    comment = terminal.paint(f"# {purpose}", _DIM, terminal.stdout()) if purpose else ""
    if len(line) + len(purpose) + 6 > terminal.width():
        return [f"  {comment}", line] if comment else [line]
    return [f"{line:<{_COMMENTS_AT}}  {comment}".rstrip()]
