"""Weights of rows."""

import tensorflow as tf


def checked_weights(
    weights: tf.Tensor | None, name: str = "sample_weight"
) -> tf.Tensor | None:
    """Weights of rows as float32, once none is negative or not finite.

    A loss that falls without end is no loss, and a mean of weights that cancel is none:
    tasks, losses and metrics all take their weights through this check.

    Args:
      weights: numbers of any shape; None where rows weigh alike.
      name: name of the argument in the message.

    Returns:
      Float32 of the same shape; None where none are given.

    Raises:
      InvalidArgumentError: a weight is negative, NaN or infinite.
    """
    if weights is None:
        return None
    weights = tf.cast(weights, tf.float32)
    ok = tf.math.is_finite(weights) & (weights >= 0)
    check = tf.debugging.Assert(
        tf.reduce_all(ok),
        [
            f"`{name}` must not be negative, and finite. A row that speaks against its "
            "item is a row of label 0 (`tasks.MultiTask`) or a negative of its query "
            "(`negative_items` of `models.TwoTower`). Got:",
            tf.boolean_mask(tf.reshape(weights, [-1]), tf.reshape(~ok, [-1])),
        ],
        summarize=5,
    )
    with tf.control_dependencies([] if check is None else [check]):
        return tf.identity(weights)


def weights_of_rows(
    weights: tf.Tensor | None, rows: tf.Tensor, name: str = "sample_weight"
) -> tf.Tensor | None:
    """`[batch]` weights that `checked_weights` lets pass, one for each row.

    Args:
      weights: `[batch]` or `[batch, 1]`; one number where all rows weigh alike.
      rows: scalar int32, how many there are.
      name: name of the argument in the message.

    Raises:
      ValueError: weights of another shape.
      InvalidArgumentError: see `checked_weights`, or more or fewer weights than rows.
    """
    weights = checked_weights(weights, name)
    if weights is None:
        return None
    if weights.shape.rank == 0:
        return tf.fill([rows], weights)
    if weights.shape.rank not in (1, 2) or weights.shape[1:] not in ([], [1]):
        raise ValueError(f"`{name}` must be [batch]. Got shape {weights.shape}.")
    check = tf.debugging.assert_equal(
        tf.shape(weights)[0], rows, f"`{name}` must have one weight for each row."
    )
    with tf.control_dependencies([] if check is None else [check]):
        return tf.reshape(weights, [-1])
