"""Where the items of a list stand when their scores order it."""

import tensorflow as tf


def places(
    scores: tf.Tensor, valid: tf.Tensor, *, first: tf.Tensor | None = None
) -> tf.Tensor:
    """The place of every item in the order of descending scores, from 1.

    Args:
      scores: `[batch, list_size]`.
      valid: `[batch, list_size]` bool; other places come last.
      first: `[batch, list_size]`, of items with equal scores the largest stands first;
        where None, the one that comes first in the list.

    Returns:
      `[batch, list_size]` int32, each of `1 .. list_size` once.
    """
    scores = tf.maximum(scores, scores.dtype.min)  # what is no item is behind all
    scores = tf.where(valid, scores, -float("inf"))
    if first is None:
        return 1 + _inverse(tf.argsort(scores, direction="DESCENDING"))
    # Two sorts that keep the order of equals are one sort by two keys.
    minor = tf.argsort(first, direction="DESCENDING", stable=True)
    sorted_scores = tf.gather(scores, minor, batch_dims=1)
    major = tf.argsort(sorted_scores, direction="DESCENDING", stable=True)
    return 1 + _inverse(tf.gather(minor, major, batch_dims=1))


def _inverse(order: tf.Tensor) -> tf.Tensor:
    """The inverse of every row's permutation."""
    batch, size = tf.unstack(tf.shape(order))
    rows = tf.broadcast_to(tf.range(batch)[:, None], [batch, size])
    columns = tf.broadcast_to(tf.range(size)[None], [batch, size])
    return tf.scatter_nd(tf.stack([rows, order], axis=2), columns, [batch, size])
