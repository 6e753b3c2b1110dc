"""Bootstrap intervals of metrics that are means over queries."""

from typing import NamedTuple

import numpy as np


class Interval(NamedTuple):
    """A mean with the bounds of its interval."""

    mean: float
    low: float
    high: float


def bootstrap_interval(
    values: np.ndarray,
    groups: np.ndarray | None = None,
    *,
    confidence: float = 0.95,
    num_samples: int = 1000,
    seed: int = 0,
) -> Interval:
    """The mean of the values and its percentile bootstrap interval.

    For a comparison of two models pass the differences of their values: a paired
    bootstrap, in which an interval above zero means that the first is better.

    Args:
      values: `[num_queries]`.
      groups: `[num_queries]` user of each query. Whole users are drawn, because the
        queries of one user are not independent; None draws queries.
      confidence: Share of the resampled means inside the interval.
      num_samples: How often to resample.
      seed: Of the draws.

    Returns:
      Mean, low and high; all NaN where there are no values.

    Reference:
      Efron, Bootstrap methods, Annals of Statistics 1979.
    """
    values = np.asarray(values, dtype="float64")
    if not 0 < confidence < 1:
        raise ValueError(f"`confidence` must be between 0 and 1. Got {confidence}.")
    if len(values) == 0:
        return Interval(np.nan, np.nan, np.nan)
    if groups is None:
        groups = np.arange(len(values))
    _, group = np.unique(groups, return_inverse=True)
    totals, counts = np.bincount(group, weights=values), np.bincount(group)
    rng = np.random.default_rng(seed)
    even = np.full(len(totals), 1 / len(totals))
    means = np.empty(num_samples)
    for sample in range(num_samples):  # one at a time: memory for one draw of all users
        drawn = rng.multinomial(len(totals), even)
        means[sample] = drawn @ totals / (drawn @ counts)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(values.mean()), float(low), float(high))
