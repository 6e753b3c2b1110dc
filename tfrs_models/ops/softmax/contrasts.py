"""The contrast of pairs with drawn negatives."""

import tensorflow as tf

from tfrs_models.ops.softmax.blocked_softmax import blocked_softmax_cross_entropy


def pair_info_nce(
    anchors: tf.Tensor,
    positives: tf.Tensor,
    negatives: tf.Tensor,
    *,
    weight: tf.Tensor,
    temperature: tf.Tensor | float,
    training: bool = True,
) -> tf.Tensor:
    """Sum over the pairs of the cross-entropy of the positive among the negatives.

    `-log softmax([s(a, p), s(a, n_1), ...])_0` with `s(a, b) = tanh(a W b) / T`. The
    scores are made block by block and never held all at once.

    Args:
      anchors: `[num_pairs, embedding_dim]`, of searches for instance.
      positives: `[num_pairs, embedding_dim]`, an item clicked in the search.
      negatives: `[num_negatives, embedding_dim]`, the same for all pairs.
      weight: `W`, `[embedding_dim, embedding_dim]`.
      temperature: `T`, above 0.
      training: False where no gradient will be asked for, which is faster.

    Returns:
      Scalar float32, 0 without a pair; differentiable once.

    Raises:
      ValueError: widths that differ.

    Reference:
      Shi et al., UniSAR: modeling user transition behaviors between search and
      recommendation, SIGIR 2024.
    """
    tensors = [anchors, positives, negatives, weight, temperature]
    anchors, positives, negatives, weight, temperature = (
        tf.cast(tensor, tf.float32) for tensor in tensors
    )
    widths = [t.shape[-1] for t in (anchors, positives, negatives)]
    if len(set(widths)) > 1:
        raise ValueError(
            "`anchors`, `positives` and `negatives` must have the same width. Got "
            f"{widths}."
        )

    def scores(place: slice, rows: list, shared: list) -> tf.Tensor:
        del place
        (anchor, positive), (negatives, weight, temperature) = rows, shared
        turned = tf.matmul(anchor, weight)
        own = tf.reduce_sum(turned * positive, axis=1, keepdims=True)
        others = tf.matmul(turned, negatives, transpose_b=True)
        return tf.tanh(tf.concat([own, others], axis=1)) / temperature

    return blocked_softmax_cross_entropy(
        scores,
        tf.shape(negatives)[0] + 1,
        positives=tf.zeros(tf.shape(anchors)[:1], tf.int32),
        rows=[anchors, positives],
        shared=[negatives, weight, temperature],
        training=training,
    )


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
