"""Means of a metric by group of users, with their intervals."""

import numbers
from typing import NamedTuple

import numpy as np

from tfrs_models.metrics.bootstrap import bootstrap_interval


class GroupInterval(NamedTuple):
    """A mean of a group with the bounds of its interval, and the size of the group.

    Attributes:
      rows: number of rows of the group.
      users: number of different users of the group.
      mean: mean of the values.
      low: lower bound of the interval.
      high: upper bound of the interval.
    """

    rows: int
    users: int
    mean: float
    low: float
    high: float


def group_intervals(
    values: np.ndarray,
    groups: np.ndarray,
    users: np.ndarray | None = None,
    *,
    smallest: int = 10,
    confidence: float = 0.95,
    num_samples: int = 1000,
    seed: int = 0,
) -> dict[str, GroupInterval]:
    """Computes the mean and the bootstrap interval of a metric for each group of rows.

    A mean over all users hides whom a model serves badly. Groups of a few users are
    put together and counted: their own means would be noise.

    Args:
      values: `[num_rows]` values of a metric, as of `RankTable.values`.
      groups: `[num_rows]` group of each row, such as the country of its user; None, NaN
        and "" are "unknown".
      users: `[num_rows]` user of each row; whole users are drawn. None draws rows.
      smallest: number of users below which groups are put together.
      confidence: share of the resampled means inside the interval, in (0, 1).
      num_samples: number of resampled means.
      seed: seed of the draws.

    Returns:
      Group -> a named tuple of `rows`, `users`, `mean`, `low` and `high`, the group of
      most rows first; "3 smaller groups" last, if there are any.

    Raises:
      ValueError: the lengths differ, a value is not finite, or an option is out of
        range.

    Example:
      >>> values, groups = np.array([1.0, 0, 1, 1, 0]), ["de", "de", "de", "fr", "it"]
      >>> by_group = tm.metrics.group_intervals(values, groups, smallest=2)
      >>> [(name, group.rows, round(group.mean, 2)) for name, group in by_group.items()]
      [('de', 3, 0.67), ('2 smaller groups', 2, 0.5)]
    """
    values = np.asarray(values, dtype="float64")
    names = np.array([_name(group) for group in np.asarray(groups).tolist()])
    users = np.arange(len(values)) if users is None else np.asarray(users)
    if not values.shape == names.shape == users.shape or values.ndim != 1:
        raise ValueError(
            "`values`, `groups` and `users` must be `[num_rows]` each. Got the shapes "
            f"{values.shape}, {names.shape} and {users.shape}."
        )
    if not np.isfinite(values).all():
        raise ValueError(
            "`values` must be finite: leave out the rows without a value. Got "
            f"{(~np.isfinite(values)).sum()} that are not."
        )
    if not isinstance(smallest, numbers.Integral) or smallest < 1:
        raise ValueError(f"`smallest` must be a whole number above 0. Got {smallest}.")

    def interval(rows: np.ndarray) -> GroupInterval:
        mean = bootstrap_interval(
            values[rows],
            users[rows],
            confidence=confidence,
            num_samples=num_samples,
            seed=seed,
        )
        return GroupInterval(len(rows), len(np.unique(users[rows])), *mean)

    parts = [np.flatnonzero(names == name) for name in np.unique(names)]
    parts.sort(key=lambda rows: -len(rows))
    large = [rows for rows in parts if len(np.unique(users[rows])) >= smallest]
    small = [rows for rows in parts if len(np.unique(users[rows])) < smallest]
    intervals = {str(names[rows[0]]): interval(rows) for rows in large}
    if small:
        name = f"{len(small)} smaller group{'s' if len(small) > 1 else ''}"
        intervals[name] = interval(np.concatenate(small))
    return intervals


def _name(group: object) -> str:
    missing = group is None or group != group or group == ""  # only NaN is not itself
    return "unknown" if missing else str(group)
