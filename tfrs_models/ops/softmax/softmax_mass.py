"""The log-sum-exp of logits together with its gradient."""

import tensorflow as tf


def softmax_mass(logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """`logsumexp` of each row, and its gradient by the logits, the softmax.

    One fast kernel makes the softmax, whose maximum is `exp(max - logsumexp)`.

    Args:
      logits: `[batch, num_candidates]`, finite.

    Returns:
      `[batch]` and `[batch, num_candidates]`.
    """
    softmax = tf.nn.softmax(logits)
    largest = tf.reduce_max(logits, axis=1)
    return largest - tf.math.log(tf.reduce_max(softmax, axis=1)), softmax
