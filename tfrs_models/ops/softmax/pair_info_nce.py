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
