"""How evenly something is shared."""

import tensorflow as tf


def relative_entropy(shares: tf.Tensor) -> tf.Tensor:
    """Entropy of shares over that of equal shares.

    Args:
      shares: `[..., n]` that sum to 1, `n` at least 2.

    Returns:
      `[...]` in [0, 1].
    """
    terms = tf.math.multiply_no_nan(tf.math.log(shares), shares)
    return -tf.reduce_sum(terms, axis=-1) / tf.math.log(float(shares.shape[-1]))
