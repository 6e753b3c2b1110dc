"""Gains, discounts and the best value of the discounted cumulative gain."""

import tensorflow as tf


def gains(labels: tf.Tensor) -> tf.Tensor:
    """Computes gains `2^y - 1`, divided by `2^max(y)` of the list: never an overflow.

    Args:
      labels: relevance, 0 where there is no item, `[batch, list_size]`.

    Returns:
      `[batch, list_size]` in [0, 1).
    """
    two = tf.constant(2, labels.dtype)
    # An empty list has no largest label.
    largest = tf.reduce_max(tf.pad(labels, [[0, 0], [0, 1]]), axis=1, keepdims=True)
    return tf.pow(two, labels - largest) - tf.pow(two, -largest)


def discounts(ranks: tf.Tensor) -> tf.Tensor:
    """Computes the discounts `1 / log2(rank + 1)`.

    Args:
      ranks: positions that count from 1, floating of any shape; a smooth loss has
        positions between two whole numbers.

    Returns:
      Discounts in the shape and dtype of the ranks.
    """
    return tf.math.log(tf.constant(2, ranks.dtype)) / tf.math.log1p(ranks)


def largest_dcg(gains_of_items: tf.Tensor, *, k: int | None = None) -> tf.Tensor:
    """Computes the discounted gain of lists in their best order.

    Args:
      gains_of_items: gain of every item, `[batch, list_size]`.
      k: number of positions that count; None for all.

    Returns:
      `[batch]`.
    """
    ordered = tf.sort(gains_of_items, axis=1, direction="DESCENDING")[:, :k]
    ranks = tf.range(1, tf.shape(ordered)[1] + 1)
    return tf.linalg.matvec(ordered, discounts(tf.cast(ranks, ordered.dtype)))
