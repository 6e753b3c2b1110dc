"""Trends of a live index: what is popular now, without training."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import tensorflow as tf

from tfrs_models.ops.trends import DAY, LATEST, num_features, trend_features


class TrendCounts(Protocol):
    """Counts of items at a time, as `data.TrendTable` has them."""

    half_lives_days: tuple[float, ...]

    def counts_at(self, timestamp: int) -> tuple[np.ndarray, np.ndarray]:
        """Computes decayed counts and the times of the first events.

        Args:
          timestamp: seconds since 1970.
        """


class LiveTrends(tf.Module):
    """The trend columns of an index, as they go on from the rows of training.

    Between two updates a count decays to the new time and the new events are added, so
    many updates give what one table of all events would give.

    Attributes:
      half_lives_days: half-lives of the counts in days.

    Example:
      >>> table = tm.data.TrendTable([1, 1, 2], [5, 9, 86_400], num_items=2)
      >>> trends = tm.serving.LiveTrends.of(table, time=90_000)
      >>> bool(np.allclose(trends.columns([0, 1, 2]), table.at(90_000)))
      True
    """

    def __init__(
        self,
        counts: np.ndarray,
        first_times: np.ndarray,
        *,
        time: int,
        half_lives_days: Sequence[float],
    ) -> None:
        """Initializes the trends; `data.TrendTable.counts_at` has the values.

        Args:
          counts: `[num_items + 1, num_half_lives]` decayed counts at `time`.
          first_times: `[num_items + 1]` seconds of the first event of each item, 0
            without any.
          time: seconds since 1970 of the counts.
          half_lives_days: `[num_half_lives]` half-lives of the counts in days.

        Raises:
          ValueError: the shapes do not fit together.
        """
        super().__init__(name="trends")
        counts = np.asarray(counts, np.float32)
        first_times = np.asarray(first_times, np.int64)
        self.half_lives_days = tuple(map(float, half_lives_days))
        if counts.shape != (len(first_times), len(self.half_lives_days)):
            raise ValueError(
                f"`counts` must be [{len(first_times)}, {len(self.half_lives_days)}], "
                "a row for each of `first_times` and a column for each half-life. Got "
                f"{counts.shape}."
            )
        self._counts = _growing(counts, "counts")
        self._first_times = _growing(first_times, "first_times")
        self._time = tf.Variable(time, dtype=tf.int64, trainable=False, name="time")

    @classmethod
    def of(cls, table: TrendCounts, time: int) -> "LiveTrends":
        """Makes the trends that go on from a table of the rows of training.

        Args:
          table: table of the rows, `data.TrendTable`.
          time: seconds since 1970, from which on new events are counted.
        """
        counts, first_times = table.counts_at(time)
        return cls(
            counts, first_times, time=time, half_lives_days=table.half_lives_days
        )

    @property
    def num_trends(self) -> int:
        """Number of trend features, the last columns of the index."""
        return num_features(len(self.half_lives_days))

    @property
    def time(self) -> int:
        """Time of the trends, in seconds since 1970."""
        return int(self._time)

    def columns(self, rows: tf.Tensor) -> np.ndarray:
        """Computes the features of items now, `[n, num_trends]`.

        Args:
          rows: `[n]` rows of items; new ones have no events yet.
        """
        number = int(np.max(rows, initial=0)) + 1
        nothing = np.zeros(0, np.int64)
        now = self.counted(nothing, nothing, nothing, self.time, number)
        return features(*now, self.time)[rows]

    def counted(
        self,
        rows: np.ndarray,
        numbers: np.ndarray,
        event_times: np.ndarray,
        time: int,
        num_rows: int,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Computes the counts and first times at a later time.

        Args:
          rows: `[n]` rows of items, from 1.
          numbers: `[n]` numbers of events.
          event_times: `[n]` their seconds since 1970.
          time: seconds since 1970.
          num_rows: number of items of the catalogue, and row 0.

        Returns:
          `[num_rows, num_half_lives]` float32 and `[num_rows]` int64.
        """
        half_lives = np.array(self.half_lives_days, np.float32) * DAY
        counts = self._counts.numpy()
        new = ((0, max(0, num_rows - len(counts))), (0, 0))
        counts = np.pad(counts, new)
        counts *= np.float32(0.5) ** (np.float32(time - self.time) / half_lives)
        first_times = np.pad(self._first_times.numpy(), new[0])
        for column, half_life in enumerate(half_lives):
            weights = numbers * 0.5 ** ((time - event_times) / float(half_life))
            counts[:, column] += np.bincount(rows, weights, minlength=len(counts))
        nothing = np.iinfo(np.int64).max
        first_times[first_times == 0] = nothing
        some = numbers > 0
        np.minimum.at(first_times, rows[some], event_times[some])
        first_times[first_times == nothing] = 0
        return counts, first_times

    def adopt(self, counts: np.ndarray, first_times: np.ndarray, time: int) -> None:
        """Takes the counts that `counted` has returned.

        Args:
          counts: decayed counts at `time`.
          first_times: seconds of the first event of each item.
          time: seconds since 1970.
        """
        self._counts.assign(counts)
        self._first_times.assign(first_times)
        self._time.assign(time)


def features(counts: np.ndarray, first_times: np.ndarray, time: int) -> np.ndarray:
    """Computes the trend features of all rows, `[num_rows, num_trends]`.

    Args:
      counts: `[num_rows, num_half_lives]` decayed counts at `time`.
      first_times: `[num_rows]` seconds of the first event, 0 without any.
      time: seconds since 1970.
    """
    is_old = first_times > 0
    ages = np.where(is_old, time - first_times, 0)
    return trend_features(
        tf.constant(counts), tf.constant(ages), tf.constant(is_old)
    ).numpy()


def checked_events(
    counts: Mapping[str, float] | Sequence[str],
    time: int,
    event_times: Sequence[int] | None,
    *,
    since: int,
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Reads events of items as ids, numbers and times.

    Args:
      counts: id of an item -> number of events; or an id for each event.
      time: seconds since 1970 of the update.
      event_times: seconds of each event, of ids in a sequence; None for the middle of
        the time since the last update.
      since: time of the last update.

    Returns:
      `[n]` ids, `[n]` numbers of events and `[n]` int64 times.

    Raises:
      ValueError: a time is out of order or not in seconds, a number is negative or not
        finite, or the times are not one for each event.
    """
    if isinstance(time, bool) or not isinstance(time, (int, np.integer)):
        raise ValueError(f"`time` must be whole seconds since 1970. Got {time!r}.")
    if time > LATEST:
        raise ValueError(
            f"`time` must be seconds since 1970. Got {time}: are these milliseconds?"
        )
    if time < since:
        raise ValueError(
            f"`time` must not be before the last update, {since}. Got {time}."
        )
    if isinstance(counts, Mapping):
        if event_times is not None:
            raise ValueError(
                "`event_times` is for `counts` with an id an event. Got a mapping "
                "of numbers: leave the times out, or give the ids."
            )
        ids, numbers = [*map(str, counts)], np.array([*counts.values()], np.float64)
    else:
        ids, numbers = [*map(str, counts)], np.ones(len(counts))
    if not np.all(np.isfinite(numbers) & (numbers >= 0)):
        is_wrong = ~(np.isfinite(numbers) & (numbers >= 0))
        wrong = ids[int(np.flatnonzero(is_wrong)[0])]
        raise ValueError(
            "`counts` must be numbers of events, finite and not negative. Got another "
            f"for item {wrong!r}."
        )
    if event_times is None:
        times = np.full(len(ids), (since + time) // 2, np.int64)
    else:
        times = np.asarray(event_times)
        if times.shape != (len(ids),) or times.dtype.kind not in "iu":
            raise ValueError(
                "`event_times` must be whole seconds, one for each event. Got "
                f"{times.dtype.name} of shape {times.shape} for {len(ids)} events."
            )
        times = times.astype(np.int64)
    if len(times) and not 0 < times.min() <= times.max() < max(time, 1):
        raise ValueError(
            f"`event_times` must be seconds before `time`, {time}. Got "
            f"{times.min()} to {times.max()}."
        )
    return ids, numbers, times


def _growing(values: np.ndarray, name: str) -> tf.Variable:
    shape = [None, *values.shape[1:]]
    return tf.Variable(values, shape=shape, trainable=False, name=name)
