"""Bootstrap intervals of metrics that are means over queries."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np


class Interval(NamedTuple):
    """A mean with the bounds of its interval.

    Attributes:
      mean: mean of the values.
      low: lower bound of the interval.
      high: upper bound of the interval.
    """

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
    """Computes the mean of values and its percentile bootstrap interval.

    For a comparison of two models pass the differences of their values: a paired
    bootstrap, in which an interval above zero means that the first is better.

    Args:
      values: `[num_queries]` values of a metric.
      groups: `[num_queries]` user of each query. Whole users are drawn, because the
        queries of one user are not independent; None draws queries.
      confidence: share of the resampled means inside the interval, in (0, 1).
      num_samples: number of resampled means.
      seed: seed of the draws.

    Returns:
      A named tuple of `mean`, `low` and `high`; all NaN where there are no values.

    Raises:
      ValueError: a confidence outside (0, 1).

    Example:
      >>> ours, theirs = np.array([0.9, 0.4, 0.8, 0.7]), np.array([0.5, 0.4, 0.6, 0.6])
      >>> mean, low, high = tm.metrics.bootstrap_interval(ours - theirs)
      >>> round(mean, 3), low > 0, high < 1
      (0.175, True, True)

    Reference:
      Efron, Bootstrap methods, Annals of Statistics 1979.
    """
    found = bootstrap_intervals(
        {"": values},
        groups,
        confidence=confidence,
        num_samples=num_samples,
        seed=seed,
    )
    return found[""]


def bootstrap_intervals(
    values: Mapping[str, np.ndarray],
    groups: np.ndarray | None = None,
    *,
    confidence: float = 0.95,
    num_samples: int = 1000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Computes the intervals of several metrics of the same queries by the same draws.

    The draws take most of the time of `bootstrap_interval`: many metrics cost little
    more than one, and each has the interval that the function gives it alone.

    Args:
      values: name -> `[num_queries]` values of a metric.
      groups: `[num_queries]` user of each query; None draws queries.
      confidence: share of the resampled means inside the interval, in (0, 1).
      num_samples: number of resampled means.
      seed: seed of the draws.

    Returns:
      Name -> named tuple of `mean`, `low` and `high`; all NaN where there are no
      values.

    Raises:
      ValueError: a confidence outside (0, 1).

    Example:
      >>> ours, theirs = np.array([0.9, 0.4, 0.8]), np.array([0.5, 0.4, 0.9])
      >>> found = tm.metrics.bootstrap_intervals({"ours": ours, "theirs": theirs})
      >>> np.allclose(found["ours"], tm.metrics.bootstrap_interval(ours))
      True
    """
    if not 0 < confidence < 1:
        raise ValueError(f"`confidence` must be between 0 and 1. Got {confidence}.")
    columns = {k: np.asarray(v, dtype="float64") for k, v in values.items()}
    size = len(next(iter(columns.values()))) if columns else 0
    if size == 0:
        return dict.fromkeys(columns, Interval(np.nan, np.nan, np.nan))
    if groups is None:
        groups = np.arange(size)
    _, group = np.unique(groups, return_inverse=True)
    counts = np.bincount(group)
    totals = np.array([np.bincount(group, weights=v) for v in columns.values()])
    rng = np.random.default_rng(seed)
    even = np.full(len(counts), 1 / len(counts))
    means = np.empty((num_samples, len(columns)))
    for sample in range(num_samples):  # one at a time: memory for one draw of all users
        drawn = rng.multinomial(len(counts), even)
        means[sample] = totals @ drawn / (drawn @ counts)
    tail = (1 - confidence) / 2
    bounds = np.quantile(means, [tail, 1 - tail], axis=0)
    return {
        name: Interval(float(column.mean()), float(low), float(high))
        for (name, column), low, high in zip(columns.items(), *bounds, strict=True)
    }
