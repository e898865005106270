"""
Measuring in turns: A B A B ... in one run, so that a slow moment of the machine hits both.

CPU time of the whole process (`time.process_time`, threads included) is the judge, wall time the
witness. Each process is kept on one core. The garbage collector runs as it does in life, and is
emptied before each turn.
"""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

# The cores that this process may use, before it is kept on one.
_CORES = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else {0}

#: Carries out at least so many operations, and returns how many.
Work = Callable[[int], Awaitable[int]]

Unit = Literal["us", "B", "kB", "ms"]


@dataclass(frozen=True)
class Effort:
    """How long to measure: `rounds` of turns of about `seconds` of CPU time each."""

    rounds: int
    seconds: float
    #: Divides the numbers of connections and streams: 1 but in the short form.
    divisor: int = 1

    def size(self, full: int) -> int:
        """Return `full`, or what the short form makes of it."""
        return max(2, full // self.divisor)


FULL = Effort(rounds=61, seconds=0.05)
QUICK = Effort(rounds=2, seconds=0.01, divisor=20)


@dataclass
class Side:
    """What one side of a comparison cost: for each round, by operation."""

    name: str
    unit: Unit
    values: list[float] = field(default_factory=list)
    #: Wall time in the same unit, where CPU time is measured.
    wall: list[float] = field(default_factory=list)


@dataclass
class Figure:
    """A measured row: the ratio of each round, and what it was made of."""

    ratios: list[float]
    sides: list[Side]
    #: The same ratios of wall time; empty where there is none.
    wall: list[float] = field(default_factory=list)
    #: What is to be known about this measurement.
    note: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.ratios)


class Skipped(Exception):
    """A row cannot be measured here; the message says what is missing."""


def pin(process: int = 0, core: int = 0) -> None:
    """
    Keep a process, 0 being this one, on one of the cores that it may use, where the system can.

    A thread hop costs more or less as the threads are on one core or on two, and the scheduler
    moves them: left alone, the same code differs by a third from one second to the next.
    """
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(_CORES)
        os.sched_setaffinity(process, {cores[core % len(cores)]})


#: Makes one number of those of each side.
Ratio = Callable[[Sequence[float]], float]


def quotient(values: Sequence[float]) -> float:
    """The first side over the second."""
    return values[0] / values[1]


def added(values: Sequence[float]) -> float:
    """What the first side costs more than the second, over the third."""
    return (values[0] - values[1]) / values[2]


async def in_turns(
    works: dict[str, Work],
    effort: Effort,
    ratio: Ratio = quotient,
    clock: Callable[[], float] = time.process_time,
) -> Figure:
    """
    Measure CPU and wall time of each work in turns.

    Args:
        works: name to work; the names are the sides of the figure, in order.
        effort: how long.
        ratio: what to make of the costs of a round.
        clock: returns the CPU seconds used so far, by this process or a server's.
    """
    sides = [Side(name, "us") for name in works]
    counts = [await _calibrate(work, effort.seconds, clock) for work in works.values()]
    for _ in range(effort.rounds):
        for side, work, count in zip(sides, works.values(), counts, strict=True):
            cpu, wall, done = await _time(work, count, clock)
            side.values.append(cpu * 1e6 / done)
            side.wall.append(wall * 1e6 / done)
    return figure(sides, ratio)


def figure(sides: list[Side], ratio: Ratio = quotient, note: str = "") -> Figure:
    """Make a figure of sides that have been measured."""
    rounds = zip(*(side.values for side in sides), strict=True)
    walls = zip(*(side.wall for side in sides), strict=True)
    return Figure([ratio(values) for values in rounds], sides, [ratio(w) for w in walls], note)


async def _calibrate(work: Work, seconds: float, clock: Callable[[], float]) -> int:
    """Return how many operations take so many CPU seconds; warms up meanwhile."""
    count = 1
    while True:
        cpu, _, done = await _time(work, count, clock)
        if cpu >= seconds / 4:
            return max(1, round(done * seconds / cpu))
        count = 2 * done


async def _time(work: Work, count: int, clock: Callable[[], float]) -> tuple[float, float, int]:
    """Return the CPU seconds, the wall seconds and the number of operations."""
    gc.collect()
    wall = time.perf_counter()
    cpu = clock()
    done = await work(count)
    return clock() - cpu, time.perf_counter() - wall, done
