"""What a request to an index says: how many, and what to leave out."""

import tensorflow as tf

from tfrs_models.layers.index.searchable_index import SearchableIndex

K = tf.TensorSpec([None], tf.int32, "k")


def id_lists(name: str, dtype: tf.DType = tf.string) -> tf.TensorSpec:
    """A list of ids for each row, padded with "" or -1 to one width."""
    return tf.TensorSpec([None, None], dtype, name)


def filter_specs(index: SearchableIndex) -> dict[str, tf.TensorSpec]:
    """A list of values for each row and attribute of the index."""
    return {
        name: id_lists(f"filter_{name}", tf.string if kind == "string" else tf.int64)
        for name, kind in index.attributes.items()
    }


def checked_k(k: tf.Tensor, most: int | tf.Tensor) -> tf.Tensor:
    """The largest `k` of the rows, once each is from 1 to `most`."""
    message = "`k` must be from 1 to the number of items."
    checks = [
        tf.debugging.assert_greater_equal(k, 1, message),
        tf.debugging.assert_less_equal(k, most, message),
    ]
    with tf.control_dependencies(checks):
        return tf.maximum(tf.reduce_max(k), 1)  # a batch may have no rows


def cut(scores: tf.Tensor, k: tf.Tensor) -> tf.Tensor:
    """Scores `[batch, width]`, `-inf` beyond each row's own `k`."""
    inside = tf.range(tf.shape(scores)[1]) < k[:, None]
    return tf.where(inside, scores, tf.constant(-float("inf"), scores.dtype))
