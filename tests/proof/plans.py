"""The list of rounds: which processes are killed in each, and where."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from tests.support import kill

Role = Literal["publisher", "worker"]
ROLES: Final[tuple[Role, ...]] = ("publisher", "worker")
RANDOM: Final = "at random"
SERVER: Final = "the server"
PUBLISHERS: Final = ("append.", "commit.", "child.", "handler.", "outcomes.", "beat.", "stop.written")
WORKERS: Final = ("claim.", "handler.", "outcomes.", "beat.", "takeover.", "stop.", "commit.", "child.", "append.")
"""The prefixes of the points that a process of each role reaches."""
MORE: Final = 1.04
"""The number of extra kills to plan, because some processes end before they are killed."""
MANY: Final = ("append.", "handler.", "commit.", "child.", "outcomes.")
"""For points that are reached often, one of the first times is chosen."""


@dataclass(frozen=True, slots=True)
class Kill:
    """The place of a kill.

    Args:
        role: the kind of process.
        point: a name of `kill.POINTS`, or RANDOM.
        times: the kill happens the Nth time that the point is reached; at random and in a stop: after N runs of
            handlers.
    """

    role: Role
    point: str = RANDOM
    times: int = 1

    @property
    def is_at_random(self) -> bool:
        """True if it is killed from outside."""
        return self.point == RANDOM

    @property
    def is_in_a_stop(self) -> bool:
        """True if it is killed while it stops."""
        return self.point.startswith("stop.")

    @property
    def at(self) -> str:
        """The point in its environment at which it kills itself."""
        if self.is_at_random:
            return ""
        return self.point if self.is_in_a_stop else f"{self.point}:{self.times}"


@dataclass(frozen=True, slots=True)
class Plan:
    """One round.

    Args:
        queues: the processes to kill; each queue runs one process at a time, at the same time as the others.
        server_kills: how often the server is killed during the round.
        seed: of all random choices.
        is_weak: writes do not wait for the journal.
        is_fed: a publisher that is not killed keeps publishing.
        is_locked: transactions of killed processes stay open until the server ends them, after a minute.
    """

    queues: tuple[tuple[Kill, ...], ...]
    seed: int
    server_kills: int = 0
    is_weak: bool = False
    is_fed: bool = True
    is_locked: bool = False

    @property
    def kills(self) -> int:
        """The planned number of kills."""
        return self.server_kills + sum(map(len, self.queues))


def long(kills: int, seed: int) -> list[Plan]:
    """Return rounds with at least this number of kills, spread evenly over the points."""
    chance = random.Random(seed)
    plans = [_locked(chance)]
    while sum(plan.kills for plan in plans) < kills * MORE:
        plans += _some(chance)
    return plans


def short(seed: int) -> list[Plan]:
    """Return rounds that reach every point at least once."""
    return _some(random.Random(seed))


def weak(seed: int) -> Plan:
    """Return a round in which the server loses acknowledged writes."""
    return Plan((), seed, server_kills=8, is_weak=True)


def towards(points: Sequence[str], seed: int) -> list[Plan]:
    """Return a round for each of these points, in which no other process reaches it first."""
    return [_alone(point, random.Random(f"{seed} {point}")) for point in points]


def _alone(point: str, chance: random.Random) -> Plan:
    if point == "suspect.noted":
        return _chain(chance)
    role: Role = "worker" if point.startswith(WORKERS) else "publisher"
    leaves_something = Kill("publisher", "handler.running", 5)
    return Plan(((leaves_something, Kill(role, point)),), chance.randrange(10**6))


def _some(chance: random.Random) -> list[Plan]:
    """Return rounds that reach every point once."""
    points = [point for point in kill.POINTS if point != "suspect.noted"]
    chance.shuffle(points)
    of_publishers = [point for point in points if not point.startswith(WORKERS)]
    of_publishers += [point for point in points if point.startswith(WORKERS) and point.startswith(PUBLISHERS)][::2]
    publishers = [_kill("publisher", point, chance) for point in of_publishers]
    workers = [_kill("worker", point, chance) for point in points if point not in of_publishers]
    publishers += [_at_random("publisher", chance) for _ in range(len(publishers) % 2)]
    workers += [_at_random("worker", chance) for _ in range(-len(workers) % 4)]
    plans = [
        Plan((mine, theirs[:2], theirs[2:]), chance.randrange(10**6))
        for mine, theirs in zip(_groups(publishers, 3), _groups(workers, 4), strict=False)
    ]
    return [*plans, _chain(chance), _with_server(chance)]


def _chain(chance: random.Random) -> Plan:
    """Return a round of processes one after another, so that the records of the first are taken over repeatedly."""
    twice = [Kill("worker", chance.choice(["claim.acknowledged", "handler.running"])) for _ in range(2)]
    noted = [Kill("worker", "suspect.noted", times) for times in (1, 3)]
    return Plan(((_at_random("publisher", chance), *twice, *noted),), chance.randrange(10**6), is_fed=False)


def _locked(chance: random.Random) -> Plan:
    """Return a round in which killed processes leave transactions open, and so locked records."""
    victims = tuple((Kill(role, "commit.before", times),) for role in ROLES for times in (1, 2))
    return Plan(victims, chance.randrange(10**6), is_locked=True)


def _with_server(chance: random.Random) -> Plan:
    victims = (_at_random("publisher", chance),), (_at_random("worker", chance),)
    return Plan(victims, chance.randrange(10**6), server_kills=3)


def _at_random(role: Role, chance: random.Random) -> Kill:
    return Kill(role, RANDOM, chance.randrange(40))


def _kill(role: Role, point: str, chance: random.Random) -> Kill:
    if point.startswith("takeover."):
        return Kill(role, point)  # each process of the queue is killed once
    return Kill(role, point, chance.randrange(1, 12 if point.startswith(MANY) and role == "publisher" else 4))


def _groups(kills: Sequence[Kill], size: int) -> Iterator[tuple[Kill, ...]]:
    return (tuple(kills[start : start + size]) for start in range(0, len(kills), size))
