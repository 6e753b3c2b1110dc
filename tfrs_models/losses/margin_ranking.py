"""The margin loss of two scores."""

import math

import tensorflow as tf


def margin_ranking_loss(
    x1: tf.Tensor, x2: tf.Tensor, y: tf.Tensor, margin: float = 0.0
) -> tf.Tensor:
    """Computes `max(0, -y (x1 - x2) + margin)`.

    Args:
      x1: `[batch]` first scores.
      x2: `[batch]` second scores.
      y: `[batch]`, 1 where `x1` should be the larger and -1 where `x2` should.
      margin: lead of the score that should be the larger, below which a pair costs.

    Returns:
      `[batch]` loss.

    Raises:
      ValueError: shapes that differ, or a margin that is negative or not finite.
      tf.errors.InvalidArgumentError: a `y` that is neither 1 nor -1.

    Example:
      >>> x1, x2 = [0.5, 0.9], [0.7, 0.8]
      >>> loss = tm.losses.margin_ranking_loss(x1, x2, [1, -1], margin=0.2)
      >>> loss.numpy().round(2)
      array([0.4, 0.3], dtype=float32)
    """
    x1 = _scores(x1)
    x2, y = tf.cast(_scores(x2), x1.dtype), tf.cast(y, x1.dtype)
    shapes = x1.shape, x2.shape, y.shape
    rule = "`x1`, `x2` and `y` must be [batch], one shape for all."
    if not all(
        a.is_compatible_with(b) and a.rank in (1, None) for a in shapes for b in shapes
    ):
        raise ValueError(f"{rule} Got {', '.join(map(str, shapes))}.")
    for other in (x2, y):
        tf.debugging.assert_equal(tf.shape(other), tf.shape(x1), message=rule)
    tf.debugging.assert_equal(tf.abs(y), tf.ones_like(y), "`y` must be 1 or -1.")
    return tf.nn.relu(check_margin(margin) - y * (x1 - x2))


def check_margin(margin: float) -> float:
    """Returns the margin, or raises a `ValueError`."""
    if not (margin >= 0 and math.isfinite(margin)):
        raise ValueError(f"`margin` must be finite and not negative. Got {margin}.")
    return margin


def _scores(values: tf.Tensor) -> tf.Tensor:
    values = tf.convert_to_tensor(values)
    return values if values.dtype == tf.float64 else tf.cast(values, tf.float32)
