"""Traces of check-ins: reading, labels and embedding."""

from typing import NamedTuple

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.ops.features.checks import require, same_shape
from tfrs_models.ops.features.read_features import known_ids, required
from tfrs_models.towers.sequence.history_tower import newest_steps
from tfrs_models.types import Features

_STEPS = ("poi_id", "category_id", "hour", "weekday")
HOURS, WEEKDAYS = 24, 7


def newest_trace(features: Features, seq_len: int) -> dict[str, tf.Tensor]:
    """Returns the newest check-ins of each row, the last one at the end.

    Args:
      features: `poi_id` (0 for padding), `category_id`, `hour` and `weekday` `[batch,
        num_steps]` integers, and `user_id` `[batch, num_steps]` or `[batch]`.
      seq_len: number of check-ins of a trace.

    Returns:
      The features as int64 `[batch, seq_len]`, 0 for padding, and their bool `mask`.

    Raises:
      ValueError: a feature is missing or has the wrong dtype or shape.
      InvalidArgumentError: a shape that is known only at run time differs from that of
        `poi_id`.
    """
    trace = {name: _integers(features, name) for name in (*_STEPS, "user_id")}
    real = trace["poi_id"] != 0
    for name, values in trace.items():
        whole = values.shape.rank == 2
        slots = real if whole else tf.reduce_any(real, axis=1)
        rule = f"a {'value for each step' if whole else 'row for each'} of `poi_id`"
        trace[name] = same_shape(values, slots, f"Feature `{name}` must have {rule}")
    positions, mask = newest_steps(real, seq_len)
    found = {
        # One step more: traces without a step have a position 0, too.
        name: tf.gather(tf.pad(values, [[0, 0], [0, 1]]), positions, batch_dims=1)
        for name, values in trace.items()
        if values.shape.rank == 2
    }
    found = {name: tf.where(mask, values, 0) for name, values in found.items()}
    return {**trace, **found, "mask": mask}


def _integers(features: Features, name: str) -> tf.Tensor:
    values = required(features, name)
    ranks = (1, 2) if name == "user_id" else (2,)
    if not values.dtype.is_integer or values.shape.rank not in ranks:
        raise ValueError(
            f"Feature `{name}` must be [batch, num_steps] integers. Got "
            f"{values.dtype.name} of shape {values.shape}."
        )
    return tf.cast(values, tf.int64)


class TraceLabels(NamedTuple):
    """Checked labels of a batch.

    Attributes:
      poi: `[batch]` int32 indices of the next POIs from 0, -1 if unknown.
      category: `[batch]` int32 indices of the next categories from 0, -1 if unknown.
      weight: `[batch]` float32 weights of the rows.
    """

    poi: tf.Tensor
    category: tf.Tensor
    weight: tf.Tensor


def trace_labels(
    features: Features, rows: tf.Tensor, *, num_pois: int, num_categories: int
) -> TraceLabels:
    """Reads and checks the check-ins that follow traces.

    Args:
      features: `next_poi_id` and `next_category_id` `[batch]` integers, 0 if unknown;
        may have `sample_weight` `[batch]`.
      rows: `[batch]` tensor with any value for each trace.
      num_pois: largest id of a POI.
      num_categories: largest id of a category.

    Raises:
      ValueError: a feature is missing, of another kind or shape.
      InvalidArgumentError: the model has no row for an id, or a weight is negative or
        not finite; it names the rows.
    """
    poi, category = (
        _for_each(name, known_ids(features, name, largest, rank=1), rows)
        for name, largest in (
            ("next_poi_id", num_pois),
            ("next_category_id", num_categories),
        )
    )
    weight = tf.ones_like(poi, tf.float32)
    if "sample_weight" in features:
        weight = _weight(features, rows)
    return TraceLabels(
        tf.cast(poi, tf.int32) - 1, tf.cast(category, tf.int32) - 1, weight
    )


def _weight(features: Features, rows: tf.Tensor) -> tf.Tensor:
    weight = required(features, "sample_weight")
    is_number = weight.dtype.is_floating or weight.dtype.is_integer
    if not is_number or weight.shape.rank != 1:
        raise ValueError(
            "Feature `sample_weight` must be [batch] numbers. Got "
            f"{weight.dtype.name} of shape {weight.shape}."
        )
    weight = tf.cast(weight, tf.float32)
    ok = tf.math.is_finite(weight) & (weight >= 0)
    message = "Feature `sample_weight` must be finite, not negative"
    return _for_each("sample_weight", require(weight, ok, message), rows)


def _for_each(name: str, values: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    message = f"Feature `{name}` must have a value for each trace"
    return same_shape(values, rows, message)


@register
class TraceEmbedding(tf.keras.layers.Layer):
    """Sums the embeddings of user, id, hour and weekday of every step.

    Ids count from 1; 0 is unknown and has the embedding 0.
    """

    def __init__(
        self, num_users: int, num_ids: int, embedding_dim: int, **kwargs
    ) -> None:
        """Initializes the layer.

        Args:
          num_users: largest id of a user.
          num_ids: largest id of a step, which is a POI or a category.
          embedding_dim: width of the embeddings.
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        for name, size in (("num_users", num_users), ("num_ids", num_ids)):
            if size < 1:
                raise ValueError(f"`{name}` must be at least 1. Got {size}.")
        self.num_users = num_users
        self.num_ids = num_ids
        self.embedding_dim = embedding_dim
        self.users = self._table("users", num_users)
        self.ids = self._table("ids", num_ids)
        self.hours = self._table("hours", HOURS)
        self.weekdays = self._table("weekdays", WEEKDAYS)

    def call(
        self, users: tf.Tensor, ids: tf.Tensor, hours: tf.Tensor, weekdays: tf.Tensor
    ) -> tf.Tensor:
        """Embeds traces.

        Args:
          users: `[batch]` or `[batch, seq_len]` ids of users.
          ids: `[batch, seq_len]` ids of the steps.
          hours: `[batch, seq_len]` hours of the day from 0 to 23.
          weekdays: `[batch, seq_len]` days of the week from 0 to 6.

        Returns:
          `[batch, seq_len, embedding_dim]`.

        Raises:
          InvalidArgumentError: an id, an hour or a weekday is out of range.
        """
        if users.shape.rank == 1:
            users = users[:, None]
        return (
            _rows(self.users, users, "user ids", first=1)
            + _rows(self.ids, ids, f"ids of `{self.name}`", first=1)
            + _rows(self.hours, hours, "hours")
            + _rows(self.weekdays, weekdays, "weekdays")
        )

    @property
    def tables(self) -> list[tf.Variable]:
        """The tables of users, ids, hours and weekdays."""
        return [self.users, self.ids, self.hours, self.weekdays]

    def _table(self, name: str, size: int) -> tf.Variable:
        initializer = tf.keras.initializers.RandomNormal(
            stddev=self.embedding_dim**-0.5
        )
        shape = (size, self.embedding_dim)
        return self.add_weight(name, shape, initializer=initializer)

    def get_config(self) -> dict:
        return super().get_config() | {
            "num_users": self.num_users,
            "num_ids": self.num_ids,
            "embedding_dim": self.embedding_dim,
        }


def _rows(
    table: tf.Tensor, numbers: tf.Tensor, what: str, *, first: int = 0
) -> tf.Tensor:
    """Looks up rows of a table whose first row is `first`; below it the row is 0."""
    numbers = tf.cast(numbers, tf.int64)
    last = table.shape[0] + first - 1
    ok = (numbers >= 0) & (numbers <= last)
    numbers = require(numbers, ok, f"The {what} must be from 0 to {last}")
    rows = tf.gather(table, tf.maximum(numbers - first, 0))
    return tf.where((numbers >= first)[..., None], rows, 0) if first else rows
