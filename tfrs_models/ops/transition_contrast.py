"""The contrast of two views of the same users."""

import tensorflow as tf


def transition_contrast(
    cross: tf.Tensor,
    own: tf.Tensor,
    include: tf.Tensor,
    *,
    weight: tf.Tensor,
    temperature: tf.Tensor | float,
) -> tf.Tensor:
    """Cross-entropy of a user's other view among both views of all other users.

    With both views below each other, `Z = [cross; own]`, the logits are
    `tanh(Z W Z^T) / T`. Row `i`'s positive is the other view of its user, its negatives
    all other rows but itself.

    Args:
      cross: `[batch, embedding_dim]`, what a user's events have of the other service.
      own: `[batch, embedding_dim]`, what they have of their own service.
      include: `[batch]` bool, False for users without one of the views: neither
        positives nor negatives.
      weight: `W`, `[embedding_dim, embedding_dim]`.
      temperature: `T`, above 0.

    Returns:
      `[batch]` float32, the mean of a user's two rows; 0 for users that are not
      included, and where there is no other user.

    Reference:
      Shi et al., UniSAR: modeling user transition behaviors between search and
      recommendation, SIGIR 2024.
    """
    batch = tf.shape(include)[0]
    cross, own, weight = (tf.cast(t, tf.float32) for t in (cross, own, weight))
    views = tf.concat([cross, own], axis=0)
    logits = tf.matmul(tf.matmul(views, weight), views, transpose_b=True)
    logits = tf.tanh(logits) / tf.cast(temperature, tf.float32)
    seen = tf.tile(include, [2])[None, :] & ~tf.eye(2 * batch, dtype=tf.bool)
    # A row that is not included still has a finite loss, which counts for nothing.
    positive = tf.roll(tf.range(2 * batch), batch, axis=0)
    seen |= tf.equal(positive[:, None], tf.range(2 * batch)[None, :])
    log_p = tf.nn.log_softmax(tf.where(seen, logits, logits.dtype.min))
    losses = -tf.gather(log_p, positive, batch_dims=1)
    return tf.where(include, (losses[:batch] + losses[batch:]) / 2, 0.0)
