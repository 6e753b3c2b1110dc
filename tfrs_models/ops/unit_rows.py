"""Rows of length one."""

import tensorflow as tf


def unit_rows(values: tf.Tensor) -> tf.Tensor:
    """Each row divided by its length, however long or short it is; 0 stays 0.

    Args:
      values: `[n, width]`; half precision is divided in float32.
    """
    rows = tf.cast(values, tf.float32) if values.dtype.size < 4 else values
    # First by the largest entry: squares of what is left fit into their type.
    largest = tf.reduce_max(tf.abs(rows), axis=1, keepdims=True)
    rows = tf.math.divide_no_nan(rows, largest)
    length = tf.norm(rows, axis=1, keepdims=True)
    return tf.cast(tf.math.divide_no_nan(rows, length), values.dtype)
