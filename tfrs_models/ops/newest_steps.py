"""The last real steps of padded sequences, in windows of one length."""

import tensorflow as tf


def newest_steps(real: tf.Tensor, length: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Where the newest real steps of each row are, the newest at the end.

    Args:
      real: `[batch, seq_len]` bool, False for padding.
      length: Steps of a window.

    Returns:
      `[batch, length]` int32 places in the row, and bool, False where the row has no
      further step; the place is then one of padding or 0.
    """
    real = tf.pad(real, [[0, 0], [length, 0]])
    newer = tf.cumsum(tf.cast(real, tf.int32), axis=1, exclusive=True, reverse=True)
    kept = real & (newer < length)
    order = tf.argsort(tf.cast(kept, tf.int32), axis=1, stable=True)[:, -length:]
    found = tf.gather(kept, order, batch_dims=1)
    return tf.where(found, order - length, 0), tf.ensure_shape(found, [None, length])
