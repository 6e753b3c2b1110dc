"""Inputs of requests to an index, and positions of an answer without a candidate."""

import tensorflow as tf

K = tf.TensorSpec([None], tf.int32, "k")


def id_lists(name: str, dtype: tf.DType = tf.string) -> tf.TensorSpec:
    """Specifies a list of ids for each row, padded with "" or -1 to one width."""
    return tf.TensorSpec([None, None], dtype, name)


def filter_specs(index: tf.keras.layers.Layer) -> dict[str, tf.TensorSpec]:
    """Specifies a list of values for each row and attribute of an index."""
    return {
        name: id_lists(f"filter_{name}", tf.string if kind == "string" else tf.int64)
        for name, kind in index.attributes.items()
    }


def checked_k(k: tf.Tensor, most: int | tf.Tensor) -> tf.Tensor:
    """Returns the largest `k` of the rows after checking that each is possible.

    Args:
      k: `[batch]` numbers of candidates to return.
      most: largest `k` that is allowed.

    Raises:
      InvalidArgumentError: a `k` is below 1 or above `most`.
    """
    message = "`k` must be from 1 to the number of items."
    checks = [
        tf.debugging.assert_greater_equal(k, 1, message),
        tf.debugging.assert_less_equal(k, most, message),
    ]
    with tf.control_dependencies(checks):
        return tf.maximum(tf.reduce_max(k), 1)  # a batch may have no rows


def cut(scores: tf.Tensor, k: tf.Tensor) -> tf.Tensor:
    """Sets scores beyond each row's own `k` to `-inf`.

    Args:
      scores: `[batch, width]` scores, best first.
      k: `[batch]` numbers of candidates to return.
    """
    inside = tf.range(tf.shape(scores)[1]) < k[:, None]
    return tf.where(inside, scores, tf.constant(-float("inf"), scores.dtype))


def is_missing(scores: tf.Tensor) -> tf.Tensor:
    """Returns True for positions without a candidate: the score is exactly `-inf`."""
    return scores == tf.constant(-float("inf"), scores.dtype)


def blank_missing(
    scores: tf.Tensor, identifiers: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Replaces the ids at positions without a candidate by -1 or ""."""
    none = "" if identifiers.dtype == tf.string else -1
    missing = tf.constant(none, identifiers.dtype)
    return scores, tf.where(is_missing(scores), missing, identifiers)


def pad_missing(
    scores: tf.Tensor, identifiers: tf.Tensor, *, k: int | tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Appends positions without a candidate until there are `k`."""
    missing = tf.maximum(k - tf.shape(scores)[-1], 0)
    leading = tf.zeros([tf.rank(scores) - 1, 2], tf.int32)
    paddings = tf.concat([leading, [[0, missing]]], axis=0)
    scores = tf.pad(scores, paddings, constant_values=-float("inf"))
    blank = tf.constant("" if identifiers.dtype == tf.string else 0)
    blank = tf.cast(blank, identifiers.dtype)
    identifiers = tf.pad(identifiers, paddings, constant_values=blank)
    return blank_missing(scores, identifiers)
