"""L2 regularisation on gradients."""

import tensorflow as tf

from tfrs_models.ops.replicas import gather_rows, num_replicas

Gradient = tf.Tensor | tf.IndexedSlices


def add_l2(
    gradient: Gradient, variable: tf.Variable, *, l2: float, unused_rows: bool
) -> Gradient:
    """The gradient with that of `l2 / 2 * |w|^2` added.

    Optimizers sum the gradients of replicas, so each adds a share of the decay: one of
    as many as have the row of a table, else one of all.

    Args:
      gradient: Dense, or of some rows of a table.
      variable: `w`.
      l2: At least 0.
      unused_rows: Whether rows of a table that have no gradient decay too: the gradient
        is dense then. Otherwise the rows stay sparse, each of them once.
    """
    if isinstance(gradient, tf.IndexedSlices):
        if not unused_rows:
            rows, places = tf.unique(gradient.indices)
            total = tf.math.unsorted_segment_sum(
                gradient.values, places, num_segments=tf.size(rows)
            )
            decay = l2 * tf.cast(tf.gather(variable, rows), total.dtype)
            shares = tf.cast(_replicas_with(rows), total.dtype)
            total += decay / tf.reshape(shares, [-1] + [1] * (total.shape.rank - 1))
            return tf.IndexedSlices(total, rows, gradient.dense_shape)
        gradient = tf.convert_to_tensor(gradient)
    return gradient + l2 / num_replicas() * tf.cast(variable, gradient.dtype)


def _replicas_with(rows: tf.Tensor) -> tf.Tensor:
    """How many replicas have each of the rows, of which one replica has each once."""
    if num_replicas() == 1:
        return tf.ones_like(rows)
    everywhere = gather_rows(rows)
    counts = tf.unique_with_counts(tf.concat([rows, everywhere], axis=0)).count
    return counts[: tf.size(rows)] - 1  # the first are this replica's own
