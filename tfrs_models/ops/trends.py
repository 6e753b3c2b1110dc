"""Trend features of items from their decayed counts."""

import tensorflow as tf

_SMALLEST_COUNT = 0.1
DAY = 86_400  # seconds
LATEST = 10**11  # seconds since 1970; times in milliseconds are above it


def num_features(num_half_lives: int) -> int:
    """Returns the number of trend features: counts, the age, and whether it is new.

    Args:
      num_half_lives: number of half-lives of the counts.
    """
    return num_half_lives + 2


def trend_features(
    counts: tf.Tensor, age_seconds: tf.Tensor, is_old: tf.Tensor
) -> tf.Tensor:
    """Computes trend features from decayed counts.

    Args:
      counts: `[n, num_half_lives]` decayed counts.
      age_seconds: `[n]` seconds since the first row, 0 without any.
      is_old: `[n]` bool, True for items with a row.

    Returns:
      `[n, num_half_lives + 2]` float32, as in `data.TrendTable`.
    """
    popularity = tf.math.log1p(tf.cast(counts, tf.float32) / _SMALLEST_COUNT)
    age = tf.math.log1p(tf.cast(age_seconds, tf.float32) / DAY)
    is_new = tf.cast(~is_old, tf.float32)
    return tf.concat([popularity, age[:, None], is_new[:, None]], axis=1)
