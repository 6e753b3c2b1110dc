"""The softmax loss of pairs against the positives of other labels."""

import tensorflow as tf

from tfrs_models.losses.embeddings import read_embeddings, read_row_labels


def n_pair_loss(
    anchors: tf.Tensor,
    positives: tf.Tensor,
    labels: tf.Tensor | None = None,
    *,
    l2: float = 0.0,
) -> tf.Tensor:
    """Computes `log(1 + sum_j exp(a_i . p_j - a_i . p_i))` over `j` of other labels.

    Args:
      anchors: `[batch, embedding_dim]` embeddings.
      positives: `[batch, embedding_dim]` embeddings, row by row of the anchors' labels.
      labels: `[batch]` labels of any dtype; where None, all rows have different labels.
      l2: weight of the regularisation `(|a_i|^2 + |p_i|^2) / 2`.

    Returns:
      `[batch]` loss; without `l2`, 0 for a row without a row of another label.

    Raises:
      ValueError: shapes that differ.

    Example:
      >>> anchors = positives = tf.eye(3)
      >>> tm.losses.n_pair_loss(anchors, positives, ["a", "a", "b"]).numpy().round(2)
      array([0.31, 0.31, 0.55], dtype=float32)

    Reference:
      Sohn, Improved deep metric learning with multi-class N-pair loss objective, NIPS
      2016.
    """
    anchors, positives = read_embeddings(anchors=anchors, positives=positives)
    if labels is None:
        labels = tf.range(tf.shape(anchors)[0])
    labels = read_row_labels(labels, anchors)
    scores = tf.matmul(anchors, positives, transpose_b=True)
    others = tf.not_equal(labels[:, None], labels[None, :])
    log_sum = tf.reduce_logsumexp(tf.where(others, scores, scores.dtype.min), axis=1)
    losses = tf.nn.softplus(log_sum - tf.linalg.diag_part(scores))
    squares = tf.reduce_sum(anchors**2 + positives**2, axis=1)
    return losses + l2 * squares / 2
