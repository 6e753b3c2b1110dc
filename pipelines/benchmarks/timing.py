"""Times of cases that take turns, so that a busy machine is unfair to none."""

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np


class Spread(NamedTuple):
    """The median of repeated measurements, with their extremes."""

    median: float
    low: float
    high: float

    def __format__(self, spec: str) -> str:
        """Median, low and high, each in the same format."""
        median, low, high = (format(value, spec) for value in self)
        return f"{median} ({low}..{high})"


def spread(values: list[float]) -> Spread:
    """The spread of repeated measurements."""
    return Spread(float(np.median(values)), float(min(values)), float(max(values)))


def ratio(numerator: list[float], denominator: list[float]) -> Spread:
    """The spread of ratios taken turn by turn: both saw the same load."""
    return spread([a / b for a, b in zip(numerator, denominator, strict=True)])


def interleave(
    cases: Mapping[str, Callable[[], object]], *, repeats: int, warm_up: bool = True
) -> dict[str, list[float]]:
    """Seconds of every case, all cases once per turn.

    Args:
      cases: Name -> what to time; it returns after the work is done.
      repeats: Turns.
      warm_up: Whether each case runs once before, untimed: tracing stays out.

    Returns:
      Name -> `[repeats]` seconds.
    """
    if warm_up:
        for run in cases.values():
            run()
    seconds = {name: [] for name in cases}
    for _ in range(repeats):
        for name, run in cases.items():
            seconds[name].append(stopwatch(run))
    return seconds


def stopwatch(run: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
