"""What the features of a batch look like, in values that a config can hold."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf


def describe(features: object) -> dict[str, list]:
    """Shape without the batch, dtype and kind of each feature of a mapping.

    Args:
      features: A batch. What is no tensor is left out.

    Returns:
      Name -> shape and dtype of a dense feature; "sparse" after them where it is so,
      or "ragged", its ragged rank and the dtype of its row splits.
    """
    if not isinstance(features, Mapping):
        return {}
    kinds = (tf.Tensor, np.ndarray, tf.RaggedTensor, tf.SparseTensor)
    return {
        name: _describe(value)
        for name, value in features.items()
        if isinstance(value, kinds) and len(value.shape)
    }


def no_rows(description: list) -> tf.Tensor | tf.RaggedTensor | tf.SparseTensor:
    """A feature of an unknown number of rows, none, as `describe` says it.

    To be called in a graph.
    """
    shape, dtype, *kind = description
    shape = [size or 1 for size in shape]
    if not kind:
        return _nothing(shape, dtype)
    if kind[0] == "sparse":
        rank = len(shape) + 1
        nothing = tf.zeros([0, rank], tf.int64), tf.zeros([0], dtype)
        return tf.SparseTensor(*nothing, tf.constant([0, *shape], tf.int64))
    _, ragged_rank, splits = kind
    values = _nothing(shape[ragged_rank:], dtype)
    for _ in range(ragged_rank):
        start = tf.compat.v1.placeholder_with_default(tf.zeros([1], splits), [None])
        values = tf.RaggedTensor.from_row_splits(values, start)
    return values


def _nothing(shape: list[int], dtype: str) -> tf.Tensor:
    rows = tf.zeros([0, *shape], dtype)
    return tf.compat.v1.placeholder_with_default(rows, [None, *shape])


def _describe(
    value: tf.Tensor | np.ndarray | tf.RaggedTensor | tf.SparseTensor,
) -> list:
    is_text = isinstance(value, np.ndarray) and value.dtype.kind in "OSU"
    dtype = "string" if is_text else tf.as_dtype(value.dtype).name
    description = [list(value.shape[1:]), dtype]
    if isinstance(value, tf.SparseTensor):
        return [*description, "sparse"]
    if isinstance(value, tf.RaggedTensor):
        return [*description, "ragged", value.ragged_rank, value.row_splits.dtype.name]
    return description
