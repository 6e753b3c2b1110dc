"""Active values of a batch and the weights of factorisation machines over them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfrs_models.feature import Feature
from tfrs_models.ops.features.checks import require
from tfrs_models.ops.features.declared_features import (
    declared_feature,
    known_values,
    num_vectors,
    refuse_undeclared,
    standardised,
    vector_inputs,
)
from tfrs_models.types import Features

STDDEV = 0.05  # of the vectors at first


class ActiveValues(NamedTuple):
    """Values `x_i` of all fields side by side; all but bags take one column.

    Columns of vectors come after those of all other fields: they have no row of the
    table, but a linear map of several rows.

    Attributes:
      rows: `[batch, num_rows]` int64 rows of one table over all fields.
      values: `[batch, num_rows]` values, 0 for padding of a bag.
      vectors: for each vector its first row in the table, and its `vector_inputs`
        `[batch, 1 + dim]`, which multiply as many rows.
      one_hot_fields: `[num_columns, num_fields]` one-hot field of each column.
    """

    rows: tf.Tensor
    values: tf.Tensor
    vectors: tuple[tuple[int, tf.Tensor], ...]
    one_hot_fields: tf.Tensor

    def terms(self, table: tf.Tensor) -> tf.Tensor:
        """Multiplies each value by its row of the table, and each vector by its rows.

        Args:
          table: `[num_rows, width]` rows of all fields.

        Returns:
          `[batch, num_columns, width]`.
        """
        terms = [tf.gather(table, self.rows) * self.values[..., None]]
        for first, inputs in self.vectors:
            # A gather, not a slice: the gradient of a large table stays sparse.
            rows = tf.gather(table, first + tf.range(inputs.shape[1]))
            terms.append((inputs @ rows)[:, None])
        return tf.concat(terms, axis=1)

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
    values have 0. A number has its value after standardisation. A vector, scaled to
    unit length, is one value, whose weight and vectors are linear in it.

    Args:
      features: values of the declared fields and of no others.
      fields: declarations of the fields.
      dtype: type of the values.

    Raises:
      ValueError: a feature is missing, undeclared, or of the wrong dtype or rank.
      InvalidArgumentError: an index is negative, or a number not finite.
    """
    refuse_undeclared(features, fields)
    rows, values, vectors, of_rows, of_vectors = [], [], [], [], []
    offset = 0
    for number, field in enumerate(fields):
        if field.kind == "vector":
            vectors.append((offset, _read_vector(features, field, dtype)))
            of_vectors.append(number)
        else:
            row, value = _read(features, field, dtype)
            rows.append(row + offset)
            values.append(value)
            of_rows.append(tf.repeat(number, tf.shape(row)[1]))
        offset += num_vectors(field)
    if not rows:  # vectors only
        empty = tf.zeros([tf.shape(vectors[0][1])[0], 0], dtype)
        rows, values = [tf.cast(empty, tf.int64)], [empty]
    field_of_column = tf.concat([*of_rows, tf.constant(of_vectors, tf.int32)], axis=0)
    return ActiveValues(
        tf.concat(rows, axis=1),
        tf.concat(values, axis=1),
        tuple(vectors),
        tf.one_hot(field_of_column, len(fields), dtype=dtype),
    )


def _read_vector(features: Features, field: Feature, dtype: tf.DType) -> tf.Tensor:
    value = tf.cast(declared_feature(features, field), dtype)
    return vector_inputs(_require_finite(value, field), dtype)


def _require_finite(value: tf.Tensor, field: Feature) -> tf.Tensor:
    message = f"Feature `{field.name}` is not finite: clean or impute it"
    return require(value, tf.math.is_finite(value), message)


def _read(
    features: Features, field: Feature, dtype: tf.DType
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns rows of the field's table and their values, `[batch, columns]` each."""
    value = declared_feature(features, field)
    if field.kind == "number":
        value = _require_finite(tf.cast(value, dtype), field)
        value = standardised(value, field, dtype)[:, None]
        return tf.zeros_like(value, tf.int64), value
    value = require(value, value >= 0, f"Feature `{field.name}` has negative indices")
    row, known = known_values(value, field)
    if field.kind == "id":
        return row[:, None], tf.ones_like(row, dtype)[:, None]
    present = tf.cast(known, dtype)
    count = tf.reduce_sum(present, axis=1, keepdims=True)
    return row, tf.math.divide_no_nan(present, tf.sqrt(count))


def known_rows(fields: Sequence[Feature]) -> np.ndarray:
    """Returns `[num_rows, 1]` bool, False for the rows of missing vectors.

    These rows are 0 at first: where training has no missing vector they stay so.
    """
    known = np.ones((num_rows(fields), 1), bool)
    first = np.cumsum([0, *map(num_vectors, fields)])[:-1]
    known[[row for row, f in zip(first, fields, strict=True) if f.kind == "vector"]] = 0
    return known


def add_bias_and_table(
    layer: tf.keras.layers.Layer, fields: Sequence[Feature], width: int
) -> tuple[tf.Variable, tf.Variable]:
    """Adds a bias and one table over all fields to a layer.

    A row of the table is the value's weight, 0 at first, and then its vectors, so that
    one gather reads both. Neither is cast in mixed precision: the square of a sum minus
    the sum of squares needs more digits than float16 has.

    Args:
      layer: layer that gets the weights.
      fields: declarations of the fields.
      width: width of all vectors of a value together.

    Returns:
      The bias `[]` and the table `[num_rows, 1 + width]`.
    """

    def initial(shape: tf.TensorShape, dtype: tf.DType, **_) -> tf.Tensor:
        vectors = tf.random.normal([shape[0], shape[1] - 1], stddev=STDDEV, dtype=dtype)
        return tf.pad(tf.where(known_rows(fields), vectors, 0), [[0, 0], [1, 0]])

    with tf.name_scope(layer.name):  # HDF5 files want distinct names
        bias = layer.add_weight(
            "bias", (), initializer="zeros", experimental_autocast=False
        )
        table = layer.add_weight(
            "table",
            (num_rows(fields), 1 + width),
            initializer=initial,
            experimental_autocast=False,
        )
    return bias, table
