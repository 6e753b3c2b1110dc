"""Vectors of the time of a request."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.models.automtn.traces import HOURS, WEEKDAYS
from tfrs_models.ops.features.checks import require, same_shape
from tfrs_models.ops.features.read_features import integers
from tfrs_models.types import Features

_HOUR = 3600.0  # seconds
_GAPS = 12  # none, below an hour, below two, ..., and a month or more


@register
class RequestTime(tf.keras.layers.Layer):
    """Sums vectors of the hour, the weekday and the gap since the last check-in.

    All vectors are 0 before training. An hour or a weekday of -1 is unknown, and its
    vector is 0. Gaps between the same powers of 2 in
    hours share a vector.

    Example:
      >>> layer = tm.models.automtn.RequestTime(embedding_dim=4)
      >>> now = {"request_hour": tf.constant([8]), "request_weekday": tf.constant([-1])}
      >>> layer(now, gap=tf.constant([7200.0])).shape
      TensorShape([1, 4])
    """

    def __init__(self, embedding_dim: int, **kwargs) -> None:
        """Initializes the layer.

        Args:
          embedding_dim: width of the vectors.
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        self._autocast = False  # seconds do not fit in half precision
        if embedding_dim < 1:
            raise ValueError(
                f"`embedding_dim` must be at least 1. Got {embedding_dim}."
            )
        self.embedding_dim = embedding_dim
        self.hours = self._table("hours", HOURS)
        self.weekdays = self._table("weekdays", WEEKDAYS)
        self.gaps = self._table("gaps", _GAPS)

    def call(self, features: Features, gap: tf.Tensor) -> tf.Tensor:
        """Computes the vectors of requests.

        Args:
          features: `request_hour` (-1 to 23) and `request_weekday` (-1 to 6) `[batch]`
            integers.
          gap: `[batch]` seconds since the last check-in; 0 if there is none.

        Returns:
          `[batch, embedding_dim]`.

        Raises:
          ValueError: a feature is missing or has the wrong dtype or shape.
          InvalidArgumentError: an hour or a weekday is out of range.
        """
        gap = tf.cast(gap, tf.float32)
        powers = tf.math.log(tf.maximum(gap / _HOUR, 0.5)) / tf.math.log(2.0)
        bucket = tf.cast(tf.floor(powers), tf.int32) + 2  # 1 is below an hour
        bucket = tf.where(gap > 0, tf.minimum(bucket, _GAPS - 1), 0)
        return (
            _known(self.hours, features, "request_hour", gap)
            + _known(self.weekdays, features, "request_weekday", gap)
            + tf.gather(self.gaps, bucket)
        )

    def _table(self, name: str, size: int) -> tf.Variable:
        return self.add_weight(name, (size, self.embedding_dim), initializer="zeros")

    def get_config(self) -> dict:
        return super().get_config() | {"embedding_dim": self.embedding_dim}


def _known(
    table: tf.Tensor, features: Features, name: str, rows: tf.Tensor
) -> tf.Tensor:
    """Looks up the row of each number; -1 has a row of zeros."""
    last = table.shape[0] - 1
    numbers = integers(features, name, rank=1)
    numbers = same_shape(
        numbers, rows, f"Feature `{name}` must have a value for each trace"
    )
    ok = (numbers >= -1) & (numbers <= last)
    rule = f"Feature `{name}` must be from 0 to {last}, or -1 if unknown"
    numbers = require(numbers, ok, rule)
    found = tf.gather(table, tf.maximum(numbers, 0))
    return tf.where(numbers[:, None] >= 0, found, 0)
