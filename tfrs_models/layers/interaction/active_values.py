"""What of a batch is not zero: what factorisation machines are about."""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from tfrs_models.feature import Feature
from tfrs_models.ops.features.checks import require
from tfrs_models.ops.features.declared_features import (
    declared_feature,
    known_values,
    num_vectors,
    refuse_undeclared,
    standardised,
)
from tfrs_models.types import Features

STDDEV = 0.05  # of the vectors at first


class ActiveValues(NamedTuple):
    """The values `x_i` of all fields side by side; ids and numbers take one place.

    Attributes:
      rows: `[batch, num_places]` int64, rows of one table over all fields.
      values: `[batch, num_places]`; 0 where a bag is padded.
      one_hot_fields: `[num_places, num_fields]`, the field of each place.
    """

    rows: tf.Tensor
    values: tf.Tensor
    one_hot_fields: tf.Tensor

    def by_field(self, vectors: tf.Tensor) -> tf.Tensor:
        """Sums weighted vectors over the places of each field.

        Args:
          vectors: `[batch, num_places, width]`.

        Returns:
          `[batch, num_fields, width]`.
        """
        return tf.einsum("bpw,pf->bfw", vectors, self.one_hot_fields)


def num_rows(fields: Sequence[Feature]) -> int:
    """Rows of one table over all fields."""
    return sum(map(num_vectors, fields))


def active_values(
    features: Features, fields: Sequence[Feature], dtype: tf.DType
) -> ActiveValues:
    """Reads a batch.

    An id counts 1, in the row of the unknown where the field does not know it. Each
    known value of a bag counts `1 / sqrt(n)` where the row has `n` of them; padding and
    unknown values do not count. A number counts what it is after standardisation.

    Args:
      features: The declared fields and no others.
      fields: Their declarations.
      dtype: Of the values.

    Raises:
      ValueError: a feature is missing, undeclared, or of the wrong dtype or rank.
      InvalidArgumentError: an index is negative, or a number not finite.
    """
    refuse_undeclared(features, fields)
    rows, values, offset = [], [], 0
    for field in fields:
        row, value = _read(features, field, dtype)
        rows.append(row + offset)
        values.append(value)
        offset += num_vectors(field)
    widths = tf.stack([tf.shape(row)[1] for row in rows])
    place_fields = tf.repeat(tf.range(len(fields)), widths)
    return ActiveValues(
        tf.concat(rows, axis=1),
        tf.concat(values, axis=1),
        tf.one_hot(place_fields, len(fields), dtype=dtype),
    )


def _read(
    features: Features, field: Feature, dtype: tf.DType
) -> tuple[tf.Tensor, tf.Tensor]:
    """Rows of the field's own table and their values, `[batch, places]` each."""
    value = declared_feature(features, field)
    if field.kind == "number":
        value = tf.cast(value, dtype)
        value = require(
            value,
            tf.math.is_finite(value),
            f"Feature `{field.name}` is not finite: clean or impute it",
        )
        value = standardised(value, field, dtype)[:, None]
        return tf.zeros_like(value, tf.int64), value
    value = require(value, value >= 0, f"Feature `{field.name}` has negative indices")
    row, known = known_values(value, field)
    if field.kind == "id":
        return row[:, None], tf.ones_like(row, dtype)[:, None]
    present = tf.cast(known, dtype)
    count = tf.reduce_sum(present, axis=1, keepdims=True)
    return row, tf.math.divide_no_nan(present, tf.sqrt(count))


def add_bias_and_table(
    layer: tf.keras.layers.Layer, num_rows: int, width: int
) -> tuple[tf.Variable, tf.Variable]:
    """Adds a bias and one table over all fields to a layer.

    A row of the table is the value's weight, 0 at first, and then its vectors, so that
    one gather reads both. Neither is cast in mixed precision: a sum of squares less
    the squares does not survive float16.

    Args:
      layer: To be given the weights.
      num_rows: Of the table.
      width: Of all vectors of a value together.

    Returns:
      The bias `[]` and the table `[num_rows, 1 + width]`.
    """

    def initial(shape: tf.TensorShape, dtype: tf.DType, **_) -> tf.Tensor:
        vectors = tf.random.normal([shape[0], shape[1] - 1], stddev=STDDEV, dtype=dtype)
        return tf.pad(vectors, [[0, 0], [1, 0]])

    with tf.name_scope(layer.name):  # HDF5 files want distinct names
        bias = layer.add_weight(
            "bias", (), initializer="zeros", experimental_autocast=False
        )
        table = layer.add_weight(
            "table",
            (num_rows, 1 + width),
            initializer=initial,
            experimental_autocast=False,
        )
    return bias, table
