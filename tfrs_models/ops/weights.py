"""Weights of rows."""

import tensorflow as tf


def checked_weights(
    weights: tf.Tensor | None, name: str = "sample_weight"
) -> tf.Tensor | None:
    """Checks that no weight is negative or not finite, and casts weights to float32.

    With a negative weight a loss would fall without end, and weights that cancel have
    no mean: tasks, losses and metrics all pass their weights through this check.

    Args:
      weights: numbers of any shape; None where all rows weigh alike.
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
    """Checks weights by `checked_weights`, and that there is one for each row.

    Args:
      weights: `[batch]` or `[batch, 1]` numbers; a scalar where all rows weigh alike.
      rows: number of rows, scalar int32.
      name: name of the argument in the message.

    Returns:
      `[batch]` float32; None where no weights are given.

    Raises:
      ValueError: weights of another shape.
      InvalidArgumentError: a weight is negative, NaN or infinite, or there are more or
        fewer weights than rows.
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
