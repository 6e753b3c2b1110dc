"""The softmax loss of pairs against the positives of other classes."""

import tensorflow as tf

from tfrs_models.losses.embeddings import read_embeddings


def n_pair_loss(
    anchors: tf.Tensor,
    positives: tf.Tensor,
    labels: tf.Tensor | None = None,
    *,
    l2: float = 0.0,
) -> tf.Tensor:
    """`log(1 + sum_j exp(a_i . p_j - a_i . p_i))` over the `j` of another label.

    Args:
      anchors: `[batch, embedding_dim]`.
      positives: `[batch, embedding_dim]`, row by row of the anchors' labels.
      labels: `[batch]` of any dtype; every row has a label of its own where None.
      l2: Times `(|a_i|^2 + |p_i|^2) / 2`, added.

    Returns:
      `[batch]`; without `l2`, 0 for a row without a row of another label.

    Raises:
      ValueError: shapes that differ.

    Reference:
      Sohn, Improved deep metric learning with multi-class N-pair loss objective, NIPS
      2016.
    """
    anchors, positives = read_embeddings(anchors=anchors, positives=positives)
    batch = tf.shape(anchors)[0]
    labels = tf.range(batch) if labels is None else tf.convert_to_tensor(labels)
    if labels.shape.rank != 1 or not labels.shape.is_compatible_with(anchors.shape[:1]):
        raise ValueError(
            f"`labels` must be [batch], a label for each of {anchors.shape[0]} rows. "
            f"Got the shape {labels.shape}."
        )
    tf.debugging.assert_equal(
        tf.shape(labels),
        tf.shape(anchors)[:1],
        "`labels` must have a label for each row.",
    )
    scores = tf.matmul(anchors, positives, transpose_b=True)
    others = tf.not_equal(labels[:, None], labels[None, :])
    mass = tf.reduce_logsumexp(tf.where(others, scores, scores.dtype.min), axis=1)
    losses = tf.nn.softplus(mass - tf.linalg.diag_part(scores))
    squares = tf.reduce_sum(anchors**2 + positives**2, axis=1)
    return losses + l2 * squares / 2
