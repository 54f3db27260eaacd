"""Timing two ways of doing the same, in turn, and the lines of the table that come of it."""

import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

LEAST_SECONDS = 0.02
"""Work that takes less is repeated within one reading of the clock."""


@dataclass(frozen=True)
class Setting:
    """How a benchmark runs.

    Attributes:
        folder: Where it may write; the caller removes it.
        repeats: How often both ways are timed; the median counts.
        quick: Shrinks everything: to see that it works, not to learn a number.
    """

    folder: Path
    repeats: int = 7
    quick: bool = False

    @property
    def few(self) -> int:
        """Repeats of what takes many seconds."""
        return min(self.repeats, 3)


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what: What was measured.
        unit: Of both numbers.
        ours: How this package fares.
        plain: How the plain way fares in the same run; None where there is none.
        ratio: Times less time or more rate than the plain way, unless `what` says otherwise.
        target: What to reach, in words; empty where there is nothing to.
        reached: Whether it was; None without a target.
    """

    what: str
    unit: str
    ours: float
    plain: float | None = None
    ratio: float | None = None
    target: str = ""
    reached: bool | None = None


Benchmark = Callable[[Setting], Iterator[Row]]


@dataclass(frozen=True)
class Pair:
    """Seconds of two ways of doing the same, and how many times less ours takes."""

    ours: float
    plain: float
    ratio: float


def side_by_side(
    ours: Callable[[], object],
    plain: Callable[[], object],
    repeats: int,
    clock: Callable[[], float] = time.process_time,
) -> Pair:
    """Time two ways in turn, so that whatever else the machine does meets both.

    Args:
        ours: Does the work our way.
        plain: Does the same work the plain way.
        repeats: Pairs to take.
        clock: CPU seconds of this process unless something else is meant.

    Returns:
        Medians, that of the ratios over the pairs.
    """
    numbers = [_number(work, clock) for work in (ours, plain)]
    pairs = [
        tuple(_seconds(work, n, clock) for work, n in zip((ours, plain), numbers, strict=True))
        for _ in range(repeats)
    ]
    fast, slow = (statistics.median(column) for column in zip(*pairs, strict=True))
    return Pair(fast, slow, statistics.median(b / a for a, b in pairs))


def _number(work: Callable[[], object], clock: Callable[[], float]) -> int:
    """Run `work` once, as a warm-up, and once more; return how often makes a reading."""
    work()
    return max(1, math.ceil(LEAST_SECONDS / max(_seconds(work, 1, clock), 1e-7)))


def _seconds(work: Callable[[], object], number: int, clock: Callable[[], float]) -> float:
    began = clock()
    for _ in range(number):
        work()
    return (clock() - began) / number
