"""Active values of a batch and the weights of factorisation machines over them."""

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
    """Values `x_i` of all fields side by side; ids and numbers take one column.

    Attributes:
      rows: `[batch, num_columns]` int64 rows of one table over all fields.
      values: `[batch, num_columns]` values, 0 for padding of a bag.
      one_hot_fields: `[num_columns, num_fields]` one-hot field of each column.
    """

    rows: tf.Tensor
    values: tf.Tensor
    one_hot_fields: tf.Tensor

    def by_field(self, vectors: tf.Tensor) -> tf.Tensor:
        """Sums weighted vectors over the columns of each field.

        Args:
          vectors: `[batch, num_columns, width]` vectors.

        Returns:
          `[batch, num_fields, width]`.
        """
        return tf.einsum("bpw,pf->bfw", vectors, self.one_hot_fields)


def num_rows(fields: Sequence[Feature]) -> int:
    """Counts the rows of one table over all fields."""
    return sum(map(num_vectors, fields))


def active_values(
    features: Features, fields: Sequence[Feature], dtype: tf.DType
) -> ActiveValues:
    """Reads the active values of a batch.

    An id has the value 1; an unknown one has the field's row for unknown ids. Each
    of the `n` known values of a bag has the value `1 / sqrt(n)`; padding and unknown
    values have 0. A number has its value after standardisation.

    Args:
      features: values of the declared fields and of no others.
      fields: declarations of the fields.
      dtype: type of the values.

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
    field_of_column = tf.repeat(tf.range(len(fields)), widths)
    return ActiveValues(
        tf.concat(rows, axis=1),
        tf.concat(values, axis=1),
        tf.one_hot(field_of_column, len(fields), dtype=dtype),
    )


def _read(
    features: Features, field: Feature, dtype: tf.DType
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns rows of the field's table and their values, `[batch, columns]` each."""
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
    one gather reads both. Neither is cast in mixed precision: the square of a sum minus
    the sum of squares needs more digits than float16 has.

    Args:
      layer: layer that gets the weights.
      num_rows: number of rows of the table.
      width: width of all vectors of a value together.

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
