"""The rows that a request may know, sorted for baselines."""

from typing import NamedTuple

import numpy as np
import scipy.sparse

from tfrs_models.data.interactions import EARLIER, Interactions
from tfrs_models.data.times import row_times

DAY = 86_400 * 10**6  # microseconds


class Rows(NamedTuple):
    """Rows of all splits before one, and those of the split itself if it has times.

    Attributes:
      user: `[num_rows]` int64 users, 0 for unknown ones.
      item: `[num_rows]` int32 columns of the items, from 0.
      time: `[num_rows]` int64 microseconds, or None.
      num_earlier: number of leading rows that belong to earlier splits.
      num_users: number of users, without the unknown one.
      num_items: number of items.
    """

    user: np.ndarray
    item: np.ndarray
    time: np.ndarray | None
    num_earlier: int
    num_users: int
    num_items: int

    @property
    def earlier(self) -> "Rows":
        """The rows of earlier splits only."""
        end = self.num_earlier
        time = None if self.time is None else self.time[:end]
        return self._replace(user=self.user[:end], item=self.item[:end], time=time)

    @property
    def binary(self) -> scipy.sparse.csr_array:
        """`[num_users + 1, num_items]` float32, 1 where a user had an item."""
        ones = np.ones(len(self.user), np.float32)
        shape = (self.num_users + 1, self.num_items)
        found = scipy.sparse.coo_array((ones, (self.user, self.item)), shape).tocsr()
        found.data[:] = 1  # what repeats was added up
        return found


def rows_before(data: Interactions, split: str) -> Rows:
    """Collects the rows of earlier splits, and those of the split if they have times.

    Args:
      data: interactions.
      split: name of a split, or "serving", which is after all rows.

    Raises:
      ValueError: the split is unknown, or no row is before it.
    """
    if split not in EARLIER:
        raise ValueError(f"`split` must be one of {tuple(EARLIER)}. Got {split!r}.")
    splits = EARLIER[split]
    has_times = row_times(data.splits["train"]) is not None
    own = (split,) if has_times and split in data.splits else ()
    num_earlier = sum(len(data.splits[name]["user_id"]) for name in splits)
    if not num_earlier and not own:
        raise ValueError(
            f"`split` must have rows before it to fit on. Got {split!r} of data "
            "without timestamps."
        )

    def column(name: str) -> np.ndarray:
        return np.concatenate([data.splits[part][name] for part in (*splits, *own)])

    return Rows(
        user=column("user_id"),
        item=(column("item_id") - 1).astype(np.int32),
        time=np.concatenate([row_times(data.splits[s]) for s in (*splits, *own)])
        if has_times
        else None,
        num_earlier=num_earlier,
        num_users=data.num_users,
        num_items=data.num_items,
    )


class UserLog:
    """The rows of each user in the order of time."""

    def __init__(self, rows: Rows) -> None:
        """Sorts the rows.

        Args:
          rows: rows with times.
        """
        order = np.lexsort((rows.time, rows.user))  # stable: equal times keep an order
        self._moments, moment = np.unique(rows.time, return_inverse=True)
        self._keys = (rows.user * (len(self._moments) + 1) + moment)[order]
        self.item, self.time = rows.item[order], rows.time[order]
        self._is_earlier = order < rows.num_earlier
        self.newest = newest_time(rows)
        self._num_items = rows.num_items

    def before(
        self, users: np.ndarray, times: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Finds the rows of users before times; the unknown user has none.

        Args:
          users: `[n]` users.
          times: `[n]` microseconds; None stands for all rows of earlier splits.

        Returns:
          `[total]` positions in `users` and `[total]` positions in this log, oldest
          first.
        """
        base = len(self._moments) + 1
        last = base - 1  # after all moments
        if times is not None:
            last = np.searchsorted(self._moments, times)
        starts = np.searchsorted(self._keys, users * base)
        ends = np.searchsorted(self._keys, users * base + last)
        counts = np.where(users > 0, ends - starts, 0)
        owner = np.repeat(np.arange(len(users)), counts)
        first = starts - (np.cumsum(counts) - counts)
        index = np.repeat(first, counts) + np.arange(len(owner))
        if times is None:
            known = self._is_earlier[index]
            owner, index = owner[known], index[known]
        return owner, index

    def decayed_counts(
        self, users: np.ndarray, times: np.ndarray | None, half_life: float
    ) -> scipy.sparse.csr_array:
        """Counts each user's own items before times, older ones less.

        Args:
          users: `[n]` users.
          times: `[n]` microseconds; None stands for the newest earlier time.
          half_life: microseconds after which a row counts half; infinity for no decay.

        Returns:
          `[n, num_items]` float64 counts, each item of a user once.
        """
        owner, index = self.before(users, times)
        now = self.newest if times is None else times[owner]
        weight = np.exp2(-((now - self.time[index]) / half_life))
        shape = (len(users), self._num_items)
        counts = scipy.sparse.coo_array((weight, (owner, self.item[index])), shape)
        return counts.tocsr()  # adds up what repeats


def newest_time(rows: Rows) -> int:
    """Returns the newest time of the rows of earlier splits, 0 without any.

    Args:
      rows: rows with times.
    """
    return int(rows.earlier.time.max(initial=0))
