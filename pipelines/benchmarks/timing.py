"""Times of cases in turns, so that the load of the machine affects all of them."""

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np


class Spread(NamedTuple):
    """Median, lowest and highest of repeated measurements."""

    median: float
    low: float
    high: float

    def __format__(self, spec: str) -> str:
        """Formats median, lowest and highest with the same format."""
        median, low, high = (format(value, spec) for value in self)
        return f"{median} ({low}..{high})"


def spread(values: list[float]) -> Spread:
    """Computes the spread of repeated measurements."""
    return Spread(float(np.median(values)), float(min(values)), float(max(values)))


def ratio(numerator: list[float], denominator: list[float]) -> Spread:
    """Computes the spread of ratios turn by turn, under the same load."""
    return spread([a / b for a, b in zip(numerator, denominator, strict=True)])


def interleave(
    cases: Mapping[str, Callable[[], object]], *, repeats: int, warm_up: bool = True
) -> dict[str, list[float]]:
    """Times every case once per turn.

    Args:
      cases: name -> function to time, which returns when its work is done.
      repeats: number of turns.
      warm_up: whether each case first runs once without timing, for its tracing.

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
    """Returns the seconds of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
