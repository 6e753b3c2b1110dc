"""Requests that arrive whether or not earlier ones are answered."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np


class Load(NamedTuple):
    """Latencies under an offered load, in seconds from when a request was due.

    Attributes:
      rate: Requests a second that were due.
      p50: Median.
      p99: Of a hundred requests one takes longer.
      abandoned: How many were given up, for the answers were too far behind.
    """

    rate: float
    p50: float
    p99: float
    abandoned: int


def arrivals(rate: float, seconds: float, *, seed: int) -> np.ndarray:
    """When requests are due: a Poisson process, in seconds from the start."""
    rng = np.random.default_rng(seed)
    due = np.cumsum(rng.exponential(1 / rate, size=round(2 * rate * seconds + 100)))
    return due[due < seconds]


def drive(
    ask: Callable[[int], object],
    due: np.ndarray,
    *,
    clients: int,
    patience: float = 5.0,
) -> np.ndarray:
    """Asks when requests are due, or as soon after as a client is free.

    Args:
      ask: From the number of a request; it returns when the answer is there.
      due: Seconds from the start, ascending.
      clients: How many wait for answers at the same time.
      patience: Seconds after the last arrival when the rest is given up.

    Returns:
      `[num_requests]` seconds from when each was due to its answer, NaN where it was
      given up.
    """
    latencies = np.full(len(due), np.nan)
    numbers, lock = iter(range(len(due))), threading.Lock()
    start = time.perf_counter() + 0.01
    end = start + (due[-1] if len(due) else 0.0) + patience

    def client() -> None:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            at = start + due[number]
            time.sleep(max(0.0, at - time.perf_counter()))
            if time.perf_counter() > end:
                return
            ask(number)
            latencies[number] = time.perf_counter() - at

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return latencies


def climb(
    measure: Callable[[float], Load],
    *,
    first: float,
    limit: float,
    refinements: int,
    factor: float = 2.0,
) -> list[Load]:
    """Raises the load until the 99th percentile passes the limit, then looks between.

    Args:
      measure: From a rate to what was measured.
      first: Rate to start with.
      limit: Seconds.
      refinements: How often the gap between enough and too much is halved.
      factor: From one rate to the next.

    Returns:
      What was measured, by rate.
    """
    loads = [measure(first)]
    while is_held(loads[-1], limit):
        loads.append(measure(loads[-1].rate * factor))
    for _ in range(refinements):
        held = highest_held(loads, limit)
        if held is None:
            break
        above = min(load.rate for load in loads if load.rate > held.rate)
        loads.append(measure((held.rate * above) ** 0.5))
    return sorted(loads)


def is_held(load: Load, limit: float) -> bool:
    """Whether all was answered, and 99 of 100 within the limit."""
    return not load.abandoned and load.p99 < limit


def highest_held(loads: Sequence[Load], limit: float) -> Load | None:
    """The highest load below the first that is not held; None where none is."""
    held = None
    for load in sorted(loads):
        if not is_held(load, limit):
            break
        held = load
    return held
