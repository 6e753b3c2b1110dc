"""Shapes of features that must go together."""

import tensorflow as tf


def same_shape(values: tf.Tensor, other: tf.Tensor, message: str) -> tf.Tensor:
    """The values, once their first axes are those of the other.

    Args:
      values: `[..., ...]`.
      other: `[...]`.
      message: The rule, and of which feature.

    Raises:
      ValueError: they are known to differ.
      InvalidArgumentError: they differ where only the run knows; nothing is broadcast.
    """
    other = tf.convert_to_tensor(other)
    rank = other.shape.rank
    if not values.shape[:rank].is_compatible_with(other.shape):
        raise ValueError(f"{message}, {other.shape}. Got shape {values.shape}.")
    if values.shape[:rank].is_fully_defined() and other.shape.is_fully_defined():
        return values
    check = tf.debugging.assert_equal(tf.shape(values)[:rank], tf.shape(other), message)
    with tf.control_dependencies([] if check is None else [check]):
        return tf.identity(values)


def check_width(width: int | None, name: str = "inputs") -> None:
    """Raises a `ValueError` for a width of 0, whose products end the process.

    Args:
      width: size of the last axis, None where it is not known.
      name: name of the tensor in the message.
    """
    if width == 0:
        raise ValueError(
            f"`{name}` must have a width of at least 1. Got 0: a table without "
            "features has nothing to learn from."
        )
