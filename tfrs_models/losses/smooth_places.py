"""Where items stand, as a smooth function of their scores."""

import tensorflow as tf

from tfrs_models.ops.numbers import real_number


def smooth_beaten_by(logits: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
    """How much other items stand above an item.

    Args:
      logits: `[batch, list_size]` scores, divided by the temperature.
      valid: `[batch, list_size]` bool, False where there is no item.

    Returns:
      `[batch, i, j]` `sigmoid(l_j - l_i)`; 0 of an item with itself, and where `j` is
      no item.
    """
    above = tf.sigmoid(logits[:, None, :] - logits[:, :, None])
    others = ~tf.eye(tf.shape(logits)[1], dtype=tf.bool)
    return tf.where(others & valid[:, None, :], above, 0)


def check_temperature(temperature: float) -> float:
    """Returns the temperature, or raises a `ValueError`."""
    return real_number("temperature", temperature, above=0)
