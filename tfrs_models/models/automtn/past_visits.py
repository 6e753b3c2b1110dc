"""Scores of POIs by the past visits of their user."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.ops.features.checks import require, same_shape
from tfrs_models.ops.features.read_features import integers, known_ids
from tfrs_models.types import Features

_DAY = 86_400.0  # seconds
_LAST_SECOND = 4_102_444_800  # the year 2100: times in milliseconds are later
_FLOOR = 0.01  # visits: counts far below it do not differ
_DAILY = 8.0  # sharpness of the time of the day: a deviation of 1.4 hours
_WEEKLY = 4.0  # sharpness of the time of the week: a deviation of 13 hours
_MEMORY = 7.0  # days in which a visit at the same time of the day counts half
_START = 0.1  # initial weight of each count
_COUNTS = 7  # besides those of the half-lives


class VisitedPOIs(NamedTuple):
    """Scores of the POIs that the users of a batch visited before.

    Attributes:
      poi: `[batch, num_past]` int64 indices of POIs from 0.
      score: `[batch, num_past]` float32 scores, 0 for padding and for a POI that an
        earlier column has.
    """

    poi: tf.Tensor
    score: tf.Tensor

    def of_all(self, num_pois: int) -> tf.Tensor:
        """Computes the scores of all POIs, 0 for those without a visit.

        Args:
          num_pois: number of POIs.

        Returns:
          `[batch, num_pois]` float32.
        """
        size = tf.shape(self.poi, tf.int64)
        rows = tf.repeat(tf.range(size[0]), size[1])
        cells = tf.stack([rows, tf.reshape(self.poi, [-1])], axis=1)
        shape = tf.stack([size[0], num_pois])
        return tf.scatter_nd(cells, tf.reshape(self.score, [-1]), shape)


class Past(NamedTuple):
    """Past visits of the users of a batch.

    Attributes:
      poi: `[batch, num_past]` int64 ids of POIs from 1, oldest first; 0 for padding and
        unknown POIs.
      age: `[batch, num_past]` float32 seconds from each visit to the request, at least
        0, and 0 for padding.
      gap: `[batch]` float32 seconds from the newest visit to the request; 0 for a user
        without visits.
    """

    poi: tf.Tensor
    age: tf.Tensor
    gap: tf.Tensor


def read_past(features: Features, rows: tf.Tensor, *, num_pois: int) -> Past:
    """Reads and checks the past visits of a batch.

    Args:
      features: `past_poi_id` `[batch, num_past]` integers, 0 for padding or an unknown
        POI, oldest first, `past_timestamp` of the same shape, and `timestamp`
        `[batch]`, the time of the request. Times are seconds since 1970; the time of a
        request that is 0, or earlier than a visit, is taken for that of the visit.
      rows: `[batch]` tensor with any value for each trace.
      num_pois: largest id of a POI.

    Raises:
      ValueError: a feature is missing or has the wrong dtype or shape.
      InvalidArgumentError: an id or a time is out of range; it names the rows.
    """
    poi = known_ids(features, "past_poi_id", num_pois, rank=2)
    poi = same_shape(poi, rows, "Feature `past_poi_id` must have a row for each trace")
    rule = "Feature `past_timestamp` must have a time for each of `past_poi_id`"
    times = same_shape(_seconds(features, "past_timestamp", rank=2), poi, rule)
    rule = "Feature `timestamp` must have a time for each trace"
    now = same_shape(_seconds(features, "timestamp", rank=1), rows, rule)
    real = poi > 0
    newest = tf.reduce_max(tf.where(real, times, 0), axis=1, keepdims=True)
    newest = tf.maximum(newest, 0)  # of no visit at all
    now = tf.maximum(now[:, None], newest)
    age = tf.where(real, now - times, 0)
    gap = tf.where(newest > 0, now - newest, 0)[:, 0]
    return Past(poi, tf.cast(age, tf.float32), tf.cast(gap, tf.float32))


def _seconds(features: Features, name: str, *, rank: int) -> tf.Tensor:
    times = integers(features, name, rank=rank)
    ok = (times >= 0) & (times < _LAST_SECOND)
    return require(
        times, ok, f"Feature `{name}` must be seconds since 1970, below 2100"
    )


@register
class PastVisits(tf.keras.layers.Layer):
    """Scores POIs by how often, when and after what their user visited them before.

    The score of a POI is `sum_k w_k log(1 + 100 n_k)`, where `n_k` are counts of the
    user's visits to it, and the weights are learned: all visits; visits that count half
    after each half-life; visits at the same time of the day, of the same with a
    half-life of a week, and of the same time of the week (by smooth kernels, which need
    no time zone); visits right after a visit to the POI where the user is now, all of
    them, with a half-life of a week, and at the same time of the day; and one for that
    POI itself. A POI without a visit has the score 0.

    Example:
      >>> layer = tm.models.automtn.PastVisits(half_lives=[1.0])
      >>> past = tf.constant([[3, 5, 3, 0]])  # ids from 1, oldest first, and padding
      >>> age = tf.constant([[90_000.0, 9_000.0, 8_000.0, 0.0]])  # seconds
      >>> found = layer(past, age, last=tf.constant([3]))
      >>> found.of_all(5).numpy().round(1)  # POI 5 came after POI 3 once
      array([[0. , 0. , 2.3, 0. , 3. ]], dtype=float32)
    """

    def __init__(
        self, half_lives: Sequence[float] = (1 / 24, 1.0, 7.0, 30.0), **kwargs
    ) -> None:
        """Initializes the layer.

        Args:
          half_lives: days in which a visit comes to count half; a count for each.
          **kwargs: arguments of `tf.keras.layers.Layer`.

        Raises:
          ValueError: a half-life is not positive and finite.
        """
        super().__init__(**kwargs)
        self._autocast = False  # ages are float32
        self.half_lives = [float(days) for days in half_lives]
        if not all(0 < days < math.inf for days in self.half_lives):
            raise ValueError(
                f"`half_lives` must be positive, finite days. Got {self.half_lives}."
            )
        start = [_START] * (len(self.half_lives) + _COUNTS) + [0.0]
        self.value = self.add_weight(
            "value",
            (len(start),),
            dtype=tf.float32,
            initializer=tf.constant_initializer(start),
            experimental_autocast=False,
        )

    def call(self, past: tf.Tensor, age: tf.Tensor, last: tf.Tensor) -> VisitedPOIs:
        """Scores the POIs of past visits.

        Args:
          past: `[batch, num_past]` ids of POIs from 1, oldest first; 0 is padding or an
            unknown POI, and no visit.
          age: `[batch, num_past]` seconds from each visit to the request, at least 0.
          last: `[batch]` ids of the POIs where the users are now; 0 if unknown.

        Returns:
          The scores of the visited POIs.
        """
        past = tf.cast(past, tf.int64)
        last = tf.cast(last, tf.int64)[:, None]
        real = past > 0
        parts = tf.where(real[..., None], self._parts(past, age, last), 0)
        size = tf.shape(past, tf.int64)
        rows = tf.range(size[0])[:, None]
        pairs = tf.reshape(rows * (tf.reduce_max(past) + 1) + past, [-1])
        found, pair = tf.unique(pairs, tf.int64)
        count = tf.size(found, tf.int64)
        parts = tf.reshape(parts, [-1, parts.shape[-1]])
        totals = tf.math.unsorted_segment_sum(parts, pair, count)
        logs = tf.math.log1p(totals / _FLOOR)
        score = tf.linalg.matvec(logs, self.value[:-1])
        columns = tf.range(tf.size(pairs, tf.int64))
        first = tf.math.unsorted_segment_min(columns, pair, count)
        is_first = tf.reshape(tf.gather(first, pair) == columns, size)
        score = tf.reshape(tf.gather(score, pair), size)
        score += tf.where(past == last, self.value[-1], 0.0)
        score = tf.where(is_first & real, score, 0.0)
        return VisitedPOIs(tf.maximum(past - 1, 0), score)

    def _parts(self, past: tf.Tensor, age: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
        """Computes what each visit adds to each count, `[batch, num_past, counts]`."""
        days = tf.cast(age, tf.float32) / _DAY
        same_hour = tf.exp(_DAILY * (tf.cos(2 * math.pi * days) - 1))
        same_weekday = tf.exp(_WEEKLY * (tf.cos(2 * math.pi * days / 7) - 1))
        recent = 2.0 ** (-days / _MEMORY)
        before = tf.pad(past, [[0, 0], [1, 0]])[:, :-1]
        after = tf.cast((before == last) & (last > 0), tf.float32)
        parts = [
            tf.ones_like(days),
            *(2.0 ** (-days / half_life) for half_life in self.half_lives),
            same_hour,
            same_hour * recent,
            same_hour * same_weekday,
            after,
            after * recent,
            after * same_hour,
        ]
        return tf.stack(parts, axis=-1)

    def get_config(self) -> dict:
        return super().get_config() | {"half_lives": self.half_lives}
