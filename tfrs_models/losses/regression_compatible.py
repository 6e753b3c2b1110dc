"""A listwise loss whose scores can be probabilities at the same time."""

import tensorflow as tf


def regression_compatible_loss(
    labels: tf.Tensor, scores: tf.Tensor, mask: tf.Tensor | None = None
) -> tf.Tensor:
    """Cross-entropy of the labels' shares and the sigmoids' shares of a list.

    `-1/C sum_i y_i log(sigmoid(s_i) / sum_j sigmoid(s_j))` with `C = sum_i y_i`. It is
    least where the sigmoids are in proportion to the expected labels, which is where
    the binary cross-entropy is least too: beside it, ranking does not cost calibration,
    as a softmax of the scores would.

    Args:
      labels: `[batch, list_size]` in [0, 1], -1 for padding.
      scores: `[batch, list_size]` logits.
      mask: `[batch, list_size]` bool, False for padding.

    Returns:
      `[batch]` loss in float32; 0 for a list without a positive label.

    Reference:
      Bai et al., Regression compatible listwise objectives for calibrated ranking with
      binary relevance, CIKM 2023.
    """
    labels, scores = (tf.cast(values, tf.float32) for values in (labels, scores))
    valid = labels >= 0  # -1 marks padding
    if mask is not None:
        valid &= tf.cast(mask, tf.bool)
    labels = tf.where(valid, labels, 0.0)
    log_sigmoids = -tf.nn.softplus(-tf.where(valid, scores, 0.0))
    log_sigmoids = tf.where(valid, log_sigmoids, log_sigmoids.dtype.min)
    shares = tf.where(valid, tf.nn.log_softmax(log_sigmoids, axis=1), 0.0)
    total = -tf.reduce_sum(labels * shares, axis=1)
    return tf.math.divide_no_nan(total, tf.reduce_sum(labels, axis=1))
