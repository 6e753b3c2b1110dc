"""Contrastive losses of UniSAR: pairs with drawn negatives, and two views of users."""

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
    """Sums the cross-entropy of each pair's positive among drawn negatives.

    The loss of a pair is `-log softmax([s(a, p), s(a, n_1), ...])_0` with `s(a, b) =
    tanh(a W b) / T`. Memory holds the scores of one block of pairs.

    Args:
      anchors: embeddings of the anchors, such as search requests, `[num_pairs,
        embedding_dim]`.
      positives: embeddings of the positives, such as an item clicked in the search,
        `[num_pairs, embedding_dim]`.
      negatives: embeddings of negatives that all pairs share, `[num_negatives,
        embedding_dim]`.
      weight: matrix `W`, `[embedding_dim, embedding_dim]`.
      temperature: scalar `T`, above 0.
      training: False if no gradient is needed, which is faster.

    Returns:
      Scalar float32, 0 without a pair; differentiable once.

    Raises:
      ValueError: the embeddings differ in width.

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

    def scores(block: slice, rows: list, shared: list) -> tf.Tensor:
        del block
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
    """Computes the cross-entropy between two views of each user, among all users.

    With the views stacked, `Z = [cross; own]`, the logits are `tanh(Z W Z^T) / T`. The
    positive of row `i` is the other view of its user; its negatives are the views of
    all other users.

    Args:
      cross: view of the users by the other service, `[batch, embedding_dim]`.
      own: view of the users by their own service, `[batch, embedding_dim]`.
      include: False for users without one of the views, who are neither positives nor
        negatives, `[batch]` bool.
      weight: matrix `W`, `[embedding_dim, embedding_dim]`.
      temperature: scalar `T`, above 0.

    Returns:
      The mean loss of each user's two rows, `[batch]` float32; 0 for users that are not
      included, and if there is no other user.

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
    # A row that is not included gets a finite loss too; it is masked below.
    positive = tf.roll(tf.range(2 * batch), batch, axis=0)
    seen |= tf.equal(positive[:, None], tf.range(2 * batch)[None, :])
    log_p = tf.nn.log_softmax(tf.where(seen, logits, logits.dtype.min))
    losses = -tf.gather(log_p, positive, batch_dims=1)
    return tf.where(include, (losses[:batch] + losses[batch:]) / 2, 0.0)
