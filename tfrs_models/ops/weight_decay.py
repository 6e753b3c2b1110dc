"""L2 regularisation on gradients."""

import tensorflow as tf

Gradient = tf.Tensor | tf.IndexedSlices


def add_l2(
    gradient: Gradient, variable: tf.Variable, *, l2: float, unused_rows: bool
) -> Gradient:
    """The gradient with that of `l2 / 2 * |w|^2` added.

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
            total += l2 * tf.cast(tf.gather(variable, rows), total.dtype)
            return tf.IndexedSlices(total, rows, gradient.dense_shape)
        gradient = tf.convert_to_tensor(gradient)
    return gradient + l2 * tf.cast(variable, gradient.dtype)
