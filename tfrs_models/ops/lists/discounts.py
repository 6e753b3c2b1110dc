"""What an item adds to the discounted cumulative gain, and on which place."""

import tensorflow as tf


def gains(labels: tf.Tensor) -> tf.Tensor:
    """`2^y - 1`, divided by `2^y` of the list's largest label, which never overflows.

    Args:
      labels: `[batch, list_size]` relevance, 0 where there is no item.

    Returns:
      `[batch, list_size]` in [0, 1).
    """
    two = tf.constant(2, labels.dtype)
    # An empty list has no largest label.
    largest = tf.reduce_max(tf.pad(labels, [[0, 0], [0, 1]]), axis=1, keepdims=True)
    return tf.pow(two, labels - largest) - tf.pow(two, -largest)


def discounts(places: tf.Tensor) -> tf.Tensor:
    """`1 / log2(place + 1)` of places that count from 1, any shape, whole or not."""
    return tf.math.log(tf.constant(2, places.dtype)) / tf.math.log1p(places)


def largest_dcg(gains_of_items: tf.Tensor, *, k: int | None = None) -> tf.Tensor:
    """`[batch]` discounted gain of the best order of `[batch, list_size]` gains.

    Args:
      gains_of_items: Of every item.
      k: Places that count; all where None.
    """
    ordered = tf.sort(gains_of_items, axis=1, direction="DESCENDING")[:, :k]
    places = tf.range(1, tf.shape(ordered)[1] + 1)
    return tf.linalg.matvec(ordered, discounts(tf.cast(places, ordered.dtype)))
