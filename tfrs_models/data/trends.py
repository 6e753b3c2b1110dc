"""Trends: how popular every item was lately, and how old it is, before any time."""

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfrs_models.data.interactions import EARLIER, Interactions
from tfrs_models.ops.trends import DAY, LATEST, num_features, trend_features

HALF_LIVES_DAYS = (0.25, 1.0, 4.0, 16.0, 64.0)
HOUR = 3_600
_ITEMS_AT_ONCE = 4096  # keeps the logarithms small, and so exact


class TrendTable:
    """Trend features of every item at any time, from the rows strictly before it.

    The features of an item at time `t` are, for each half-life `h`, `log((0.1 +
    count_h) / 0.1)`, where `count_h` is the sum of `0.5^((t - s) / h)` over the item's
    rows at times `s` before `t`; then `log(1 + days since the item's first row)`; then
    1 for an item without a row before `t`, else 0. All are 0 but the last where the
    item is new. How fast an item grows is a difference of two of the first features, so
    a weighted sum can read it.

    A time counts as the start of its hour (`resolution_seconds`), so an index whose
    trends are updated each hour gives the features that training has seen. The table
    holds numbers for each row and nothing for each hour, so its size is that of the
    log.

    Attributes:
      num_items: number of items of the catalogue.
      num_trends: number of features of an item.
      half_lives_days: half-lives in days.
      resolution_seconds: seconds of a period, at whose start the features are those of
        all its times.

    Example:
      >>> day = 86_400
      >>> table = tm.data.TrendTable(item_id=[1, 1, 2], timestamp=[0, day, day],
      ...     num_items=3, half_lives_days=[1.0])
      >>> now = table.at(2 * day)  # item 1 has a row two days ago and one a day ago
      >>> (0.1 * np.exp(now[:, 0]) - 0.1).round(2).tolist(), now[:, 2].tolist()
      ([0.0, 0.75, 0.5, 0.0], [1.0, 0.0, 0.0, 1.0])
    """

    def __init__(
        self,
        item_id: np.ndarray,
        timestamp: np.ndarray,
        *,
        num_items: int,
        half_lives_days: Sequence[float] = HALF_LIVES_DAYS,
        resolution_seconds: int = HOUR,
    ) -> None:
        """Initializes the table.

        Args:
          item_id: `[num_rows]` indices of items, from 1 to `num_items`; rows of the
            unknown item 0 are left out.
          timestamp: `[num_rows]` whole seconds since 1970.
          num_items: number of items of the catalogue.
          half_lives_days: half-lives of the counts in days.
          resolution_seconds: seconds of a period; 1 for the exact time.

        Raises:
          ValueError: there is no row, an id or a time is out of range, a half-life is
            not positive, or the resolution is not a whole number above 0.
        """
        self.num_items = num_items
        self.half_lives_days = tuple(map(float, half_lives_days))
        self.resolution_seconds = resolution_seconds
        if not self.half_lives_days or not all(
            0 < half_life < math.inf for half_life in self.half_lives_days
        ):
            raise ValueError(
                "`half_lives_days` must be finite numbers above 0, at least one. Got "
                f"{self.half_lives_days}."
            )
        if not (isinstance(resolution_seconds, int) and resolution_seconds > 0):
            raise ValueError(
                "`resolution_seconds` must be a whole number above 0. Got "
                f"{resolution_seconds!r}."
            )
        item, seconds = _checked_rows(item_id, timestamp, num_items)
        order = np.lexsort((seconds, item))
        item, seconds = item[order], seconds[order]
        self._first = int(seconds.min())
        self._span = int(seconds.max()) - self._first + 2
        self._seconds = seconds - self._first
        self._keys = item * self._span + self._seconds
        self._starts = np.searchsorted(item, np.arange(num_items + 1))
        days = self._seconds / DAY
        self._counts = np.stack(
            [_decayed(item, days, half_life) for half_life in self.half_lives_days],
            axis=1,
        )
        self._tensors = None

    @property
    def num_trends(self) -> int:
        return num_features(len(self.half_lives_days))

    @property
    def newest_time(self) -> int:
        """Time of the newest row, in seconds since 1970."""
        return self._first + self._span - 2

    def period(self, timestamp: np.ndarray) -> np.ndarray:
        """Returns the start of the period of each time.

        Args:
          timestamp: whole seconds since 1970.

        Returns:
          int64 seconds since 1970, in the shape of the times.
        """
        timestamp = np.asarray(timestamp, np.int64)
        return timestamp - timestamp % self.resolution_seconds

    def next_period(self, timestamp: int) -> int:
        """Returns the start of the first period after a time.

        Args:
          timestamp: whole seconds since 1970.
        """
        return int(self.period(timestamp)) + self.resolution_seconds

    def features(self, item_id: tf.Tensor, timestamp: tf.Tensor) -> tf.Tensor:
        """Computes the features of items at times, in a graph or eagerly.

        Args:
          item_id: indices of items, 0 for the unknown item.
          timestamp: whole seconds since 1970, of a shape that broadcasts with
            `item_id`'s.

        Returns:
          `[..., num_trends]` float32.
        """
        item_id = tf.cast(item_id, tf.int64)
        seconds = tf.cast(timestamp, tf.int64)
        seconds -= seconds % self.resolution_seconds
        shape = tf.broadcast_dynamic_shape(tf.shape(item_id), tf.shape(seconds))
        static = tf.broadcast_static_shape(item_id.shape, seconds.shape)
        item = tf.reshape(tf.broadcast_to(item_id, shape), [-1])
        seconds = tf.broadcast_to(seconds - self._first, shape)
        flat = self._flat_features(item, tf.reshape(seconds, [-1]))
        features = tf.reshape(flat, tf.concat([shape, [self.num_trends]], axis=0))
        return tf.ensure_shape(features, static.concatenate(self.num_trends))

    def at(self, timestamp: int) -> np.ndarray:
        """Computes the features of all items at a time.

        Args:
          timestamp: whole seconds since 1970.

        Returns:
          `[num_items + 1, num_trends]` float32; row 0 is the unknown item.
        """
        everything = tf.range(self.num_items + 1, dtype=tf.int64)
        return self.features(everything, tf.constant(timestamp, tf.int64)).numpy()

    def add_to(self, candidates: tf.data.Dataset, timestamp: int) -> tf.data.Dataset:
        """Adds the features at a time to batches of candidates, for an index.

        Args:
          candidates: batches with the feature `item_id`, such as
            `Interactions.candidate_batches`.
          timestamp: whole seconds since 1970.

        Returns:
          The batches with the feature `trends`, `[batch, num_trends]`.
        """
        trends = tf.constant(self.at(timestamp))
        return candidates.map(
            lambda batch: {**batch, "trends": tf.gather(trends, batch["item_id"])}
        )

    def counts_at(self, timestamp: int) -> tuple[np.ndarray, np.ndarray]:
        """Computes what a live recommender goes on from: counts and first rows.

        Args:
          timestamp: whole seconds since 1970; it is not rounded to its period.

        Returns:
          `[num_items + 1, num_half_lives]` float32 decayed counts, and
          `[num_items + 1]` int64 seconds of the first row of each item, 0 without any.
        """
        everything = tf.range(self.num_items + 1, dtype=tf.int64)
        now = tf.fill([self.num_items + 1], tf.cast(timestamp - self._first, tf.int64))
        counts, first, is_old = self._lookup(everything, now)
        return counts.numpy(), tf.where(is_old, first + self._first, 0).numpy()

    def _flat_features(self, item: tf.Tensor, seconds: tf.Tensor) -> tf.Tensor:
        counts, first, is_old = self._lookup(item, seconds)
        age = tf.cast(tf.where(is_old, seconds - first, 0), tf.float32)
        return trend_features(counts, age, is_old)

    def _lookup(
        self, item: tf.Tensor, seconds: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Finds decayed counts, the first row, and whether there is any, of pairs.

        Args:
          item: `[n]` int64 indices.
          seconds: `[n]` int64 seconds after the first row of the table.
        """
        if self._tensors is None:
            with tf.init_scope():  # tensors, not constants of a graph, which is small
                self._tensors = [
                    tf.constant(self._keys),
                    tf.constant(np.append(self._seconds, 0)),
                    tf.constant(np.append(self._counts, 0 * self._counts[:1], axis=0)),
                    tf.constant(self._starts),
                ]
        keys, times, counts, starts = self._tensors
        inside = tf.clip_by_value(seconds, 0, self._span - 1)
        latest = tf.searchsorted(keys, item * self._span + inside, out_type=tf.int64)
        latest -= 1  # the newest row strictly before
        start = tf.gather(starts, item)
        is_old = latest >= start
        nothing = len(self._keys)
        latest = tf.where(is_old, latest, nothing)
        age = tf.cast(
            tf.where(is_old, seconds - tf.gather(times, latest), 0), tf.float32
        )
        half_lives = tf.constant(self.half_lives_days, tf.float32) * DAY
        decay = tf.pow(0.5, age[:, None] / half_lives)
        first = tf.gather(times, tf.where(is_old, start, nothing))
        return tf.gather(counts, latest) * decay, first, is_old


def trend_table(
    data: Interactions,
    split: str,
    *,
    half_lives_days: Sequence[float] = HALF_LIVES_DAYS,
    resolution_seconds: int = HOUR,
) -> TrendTable:
    """Makes the trend features that requests of a split may know.

    They are of the rows of all earlier splits and of the split itself, of which each
    request sees those strictly before its time. Training sees training rows only.

    Args:
      data: interactions with timestamps.
      split: "train", "validation", "test" or "serving", which is after all rows.
      half_lives_days: half-lives of the counts in days.
      resolution_seconds: seconds of a period; 1 for the exact time.

    Returns:
      The table of all items of the catalogue.

    Raises:
      ValueError: the split is unknown, or the data have no timestamps.

    Example:
      >>> import pandas as pd
      >>> frame = pd.DataFrame({"user_id": list("aaabb"), "item_id": list("pqrqp")})
      >>> data = tm.data.from_frame(frame.assign(timestamp=range(0, 50_000, 10_000)))
      >>> table = tm.data.trend_table(data, "serving", half_lives_days=[1.0])
      >>> table.at(86_400).shape, table.num_trends
      ((4, 3), 3)
    """
    if split not in EARLIER:
        raise ValueError(f"`split` must be one of {tuple(EARLIER)}. Got {split!r}.")
    if "timestamp" not in data.splits["train"]:
        raise ValueError(
            "`data` must have timestamps: a trend is a matter of time. Got "
            f"{list(data.splits['train'])}. Name their column with `timestamp_column`."
        )
    names = [*EARLIER[split], *({split} & data.splits.keys())]
    rows = [data.splits[name] for name in names]
    return TrendTable(
        np.concatenate([columns["item_id"] for columns in rows]),
        np.concatenate([columns["timestamp"] for columns in rows]),
        num_items=data.num_items,
        half_lives_days=half_lives_days,
        resolution_seconds=resolution_seconds,
    )


def _checked_rows(
    item_id: np.ndarray, timestamp: np.ndarray, num_items: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of known items as int64 arrays."""
    item, seconds = np.asarray(item_id), np.asarray(timestamp)
    if item.ndim != 1 or item.shape != seconds.shape:
        raise ValueError(
            "`item_id` and `timestamp` must have one value a row. Got shapes "
            f"{item.shape} and {seconds.shape}."
        )
    for name, values in (("item_id", item), ("timestamp", seconds)):
        if values.dtype.kind not in "iu":
            raise ValueError(f"`{name}` must be whole numbers. Got {values.dtype}.")
    item, seconds = item.astype(np.int64), seconds.astype(np.int64)
    if len(item) and not 0 <= item.min() <= item.max() <= num_items:
        raise ValueError(
            f"`item_id` must be from 0 to {num_items}, the number of items. Got "
            f"{item.min()} to {item.max()}."
        )
    item, seconds = item[item > 0], seconds[item > 0]
    if not len(item):
        raise ValueError("`item_id` must have a row of a known item. Got none.")
    if seconds.max() > LATEST:
        raise ValueError(
            "`timestamp` must be seconds since 1970. Got "
            f"{seconds.max()}, which is far in the future: are these milliseconds?"
        )
    return item, seconds


def _decayed(item: np.ndarray, days: np.ndarray, half_life: float) -> np.ndarray:
    """Counts of each item just after each of its rows, older rows less.

    Args:
      item: `[num_rows]` int64 items, sorted.
      days: `[num_rows]` times in days, ascending within an item, from 0.
      half_life: half-life in days.

    Returns:
      `[num_rows]` float32.
    """
    logs = days * (math.log(2) / half_life)
    step = logs.max(initial=0) + 60  # the items before weigh nothing in the next one
    counts = np.empty(len(item), np.float32)
    edges = np.flatnonzero(np.diff(item, prepend=-1, append=-1))
    for start in range(0, len(edges) - 1, _ITEMS_AT_ONCE):
        some = edges[start : start + _ITEMS_AT_ONCE + 1]
        rows = slice(some[0], some[-1])
        number = np.repeat(np.arange(len(some) - 1), np.diff(some))
        shifted = logs[rows] + step * number
        total = np.logaddexp.accumulate(shifted)
        counts[rows] = np.exp(total - shifted)
    return counts
