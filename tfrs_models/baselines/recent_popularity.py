"""Popularity at a time: counts in which older rows weigh less."""

import dataclasses

import numpy as np

from tfrs_models.baselines.baseline import Baseline, check_half_life
from tfrs_models.baselines.linear import Linear
from tfrs_models.baselines.popularity import log_counts
from tfrs_models.baselines.rows import DAY, Rows, newest_time

# A row counts 2^-200 after 200 half-lives: 0 in float32 however many there are.
_FORGOTTEN = 200
_CHECKPOINT_VALUES = 2**22  # float64 values of all checkpoints together
_BLOCK = 2**20  # rows that are added at once


@dataclasses.dataclass(frozen=True, eq=False)
class RecentPopularity(Baseline):
    """Scores items by their counts before the query's time, older rows less.

    The score of an item at time `t` is the sum of `0.5^((t - s) / half_life)` over its
    rows at times `s` strictly before `t`. They are rows of all users, of the earlier
    splits and of the split itself, so the row to predict never counts.

    Args:
      half_life_days: days after which a row counts half; infinity counts all rows
        before the time alike.

    Raises:
      ValueError: the half-life is not positive.

    Example:
      >>> import pandas as pd
      >>> frame = pd.DataFrame({"user_id": list("aaabb"), "item_id": list("ppqqr")})
      >>> day = 86_400 * np.arange(5)  # an item each day
      >>> data = tm.data.from_frame(frame.assign(timestamp=day))
      >>> recent = tm.baselines.RecentPopularity(half_life_days=1).fit(data)
      >>> recent.score(np.array([0]), np.array([4 * 86_400 * 10**6])).tolist()
      [[0.1875, 0.75, 0.0]]
    """

    half_life_days: float = 2.0

    reads_times = True
    is_personal = False

    def __post_init__(self) -> None:
        check_half_life(self.half_life_days, "half_life_days")

    @property
    def name(self) -> str:
        if np.isinf(self.half_life_days):
            return "popularity before the row's time"
        return f"recent popularity, half-life {days(self.half_life_days)}"

    def _fit(self, rows: Rows) -> None:
        half_life = self.half_life_days * DAY
        earlier = rows.earlier
        now, newest = newest_time(rows), np.zeros(rows.num_items)
        for start in range(0, len(earlier.item), _BLOCK):
            block = slice(start, start + _BLOCK)
            weight = np.exp2((earlier.time[block] - now) / half_life)
            np.add.at(newest, earlier.item[block], weight)
        order = np.argsort(rows.time, kind="stable")
        log = _Log(rows.item[order], rows.time[order], half_life, rows.num_items)
        self._set(_newest=newest.astype(np.float32), _log=log)

    def _score(self, users: np.ndarray, times: np.ndarray | None) -> np.ndarray:
        if times is None:
            return np.repeat(self._newest[None], len(users), axis=0)
        return self._log.counts(times)

    def _linear(self) -> Linear:
        return Linear(self._newest)

    def _plain_linear(self) -> Linear:
        return Linear(log_counts(self._newest))

    def _plain(self, users: np.ndarray, times: np.ndarray | None) -> np.ndarray:
        return log_counts(self._score(users, times))


class _Log:
    """Rows in the order of time, and counts at some of their times to start from."""

    def __init__(
        self, item: np.ndarray, time: np.ndarray, half_life: float, num_items: int
    ) -> None:
        self._item, self._time = item, time
        self._half_life, self._num_items = half_life, num_items
        number = min(64, _CHECKPOINT_VALUES // num_items)
        self._checkpoints = [_Counts(np.zeros(num_items), 0, 0)]
        self._starts = [0]
        ends = np.linspace(0, len(item), number + 1, dtype=np.int64)[1:-1]
        for end in np.unique(ends[ends > 0]):
            last = self._checkpoints[-1].copy()
            self._checkpoints.append(self._advanced(last, time[end - 1], end))
            self._starts.append(end)

    def counts(self, times: np.ndarray) -> np.ndarray:
        """`[n, num_items]` float32 counts of the rows strictly before `[n]` times."""
        result = np.empty((len(times), self._num_items), np.float32)
        order = np.argsort(times, kind="stable")
        ends = np.searchsorted(self._time, times[order])  # the first row not before
        if len(order):
            latest = np.searchsorted(self._starts, ends[0], side="right") - 1
            counts = self._checkpoints[latest].copy()
        for row, end in zip(order, ends, strict=True):
            counts = self._advanced(counts, times[row], end)
            factor = np.exp2(-((times[row] - counts.time) / self._half_life))
            np.multiply(counts.values, factor, out=result[row], casting="same_kind")
        return result

    def _advanced(self, counts: "_Counts", time: int, end: int) -> "_Counts":
        """Adds the rows up to `end`, which are not after `time`.

        The counts are those at `counts.time`; later rows weigh more than 1 there. So a
        step costs the new rows only, and the reference moves before weights overflow.
        """
        start, half_life = counts.end, self._half_life
        if (age := (time - counts.time) / half_life) > _FORGOTTEN:
            if age > 2 * _FORGOTTEN:  # no row so far counts any more
                counts.values[:] = 0
                horizon = np.searchsorted(self._time, time - _FORGOTTEN * half_life)
                start = max(start, int(horizon))
            else:
                counts.values *= np.exp2(-age)
            counts.time = time
        for first in range(start, end, _BLOCK):
            block = slice(first, min(first + _BLOCK, end))
            weight = np.exp2((self._time[block] - counts.time) / half_life)
            if len(weight) < self._num_items:
                np.add.at(counts.values, self._item[block], weight)
            else:
                counts.values += np.bincount(
                    self._item[block], weight, minlength=self._num_items
                )
        counts.end = max(end, counts.end)
        return counts


@dataclasses.dataclass
class _Counts:
    """Decayed counts at a reference time, of the first `end` rows."""

    values: np.ndarray
    time: int
    end: int

    def copy(self) -> "_Counts":
        return _Counts(self.values.copy(), self.time, self.end)


def days(number: float) -> str:
    """Formats a number of days.

    Args:
      number: number of days.
    """
    return f"{number:g} day" if number == 1 else f"{number:g} days"
