"""Requests that arrive at a given rate, whether or not earlier ones are answered."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np


class Load(NamedTuple):
    """Latencies at an offered rate, in seconds from the time a request was due.

    Attributes:
      rate: requests per second that were due.
      p50: median.
      p99: 99th percentile.
      abandoned: number of requests that were given up because answers were too late.
    """

    rate: float
    p50: float
    p99: float
    abandoned: int


def arrivals(rate: float, seconds: float, *, seed: int) -> np.ndarray:
    """Draws the times of requests from a Poisson process.

    Args:
      rate: requests per second.
      seconds: length of the process.
      seed: seed of the draw.

    Returns:
      `[num_requests]` seconds from the start, ascending.
    """
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
    """Sends requests when they are due, or as soon after as a client is free.

    Args:
      ask: function of the number of a request; it returns when the answer has arrived.
      due: `[num_requests]` seconds from the start, ascending.
      clients: number of clients, which wait for their answers.
      patience: seconds after the last arrival when the rest is given up.

    Returns:
      `[num_requests]` seconds from the time a request was due to its answer, NaN for
      requests that were given up.
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
    """Raises the rate until the 99th percentile passes a limit, then refines.

    Args:
      measure: function of a rate that returns its load.
      first: first rate.
      limit: largest 99th percentile, in seconds.
      refinements: number of times that the gap between the highest good rate and the
        lowest bad one is halved.
      factor: factor from one rate to the next.

    Returns:
      Loads in the order of their rates.
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
    """Returns True if all requests were answered and the 99th percentile holds."""
    return not load.abandoned and load.p99 < limit


def highest_held(loads: Sequence[Load], limit: float) -> Load | None:
    """Returns the highest load below the first bad one, None without one."""
    held = None
    for load in sorted(loads):
        if not is_held(load, limit):
            break
        held = load
    return held
