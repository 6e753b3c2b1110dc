"""Softmax and mean over what a mask lets in, also where it lets in nothing."""

import tensorflow as tf


def masked_softmax(scores: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Softmax over the last axis, in float32.

    Args:
      scores: `[..., n]`.
      mask: bool, of a shape that broadcasts to that of the scores.

    Returns:
      `[..., n]` of the dtype of the scores: 0 where the mask is False, and rows that
      sum to 1, or to 0 where the mask lets in nothing.
    """
    logits = tf.where(mask, tf.cast(scores, tf.float32), tf.float32.min)
    weights = tf.where(mask, tf.nn.softmax(logits), 0.0)
    return tf.cast(weights, scores.dtype)


def masked_mean(values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Mean over the last but one axis.

    Args:
      values: `[..., n, width]`.
      mask: `[..., n]` bool.

    Returns:
      `[..., width]`; 0 where the mask lets in nothing.
    """
    total = tf.reduce_sum(tf.where(mask[..., None], values, 0), axis=-2)
    count = tf.math.count_nonzero(mask, axis=-1, keepdims=True, dtype=values.dtype)
    return tf.math.divide_no_nan(total, count)
