"""Softmax cross-entropy without the scores of all rows in memory."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from tfrs_models.ops.softmax.blocks import (
    BlockLoss,
    log_sum_exp,
    row_weights,
    sum_over_blocks,
)


def blocked_softmax_cross_entropy(
    score_block: Callable[[slice, Sequence, Sequence], tf.Tensor],
    num_candidates: tf.Tensor | int,
    *,
    positives: tf.Tensor,
    rows: Sequence[tf.Tensor],
    shared: Sequence[tf.Tensor] = (),
    sample_weight: tf.Tensor | None = None,
    block_size: int | str = "auto",
    training: bool = True,
) -> tf.Tensor:
    """Sums the cross-entropy of each row's positive among all candidates.

    Scores may have any form; `losses.sampled_softmax` is made for dot products. Memory
    holds one block's scores and what `score_block` needs for them.

    Args:
      score_block: function of a block's slice of the batch, the block's part of `rows`,
        and `shared`, which returns logits, `[block, num_candidates]`. It is
        differentiated by `rows` and `shared`, not by tensors that it captures, and it
        must cut captured tensors of the batch by the slice.
      num_candidates: number of columns of the logits.
      positives: columns of the positives, `[batch]` int32.
      rows: floating tensors that are cut into blocks, `[batch, ...]` each, at least
        one.
      shared: floating tensors that every block needs whole, such as the embeddings of
        the candidates.
      sample_weight: weights of the rows, `[batch]`.
      block_size: number of rows of a block; `"auto"` keeps a block's scores below
        256 MB.
      training: False if no gradient is needed, which is faster.

    Returns:
      Scalar float32, differentiable once.

    Raises:
      ValueError: `rows` is empty.

    Example:
      >>> loss = tm.ops.blocked_softmax_cross_entropy(
      ...     lambda block, rows, shared: tf.matmul(*rows, *shared, transpose_b=True),
      ...     num_candidates=3,
      ...     positives=tf.constant([0, 2]),
      ...     rows=[tf.ones([2, 4])],
      ...     shared=[tf.ones([3, 4])],
      ... )
      >>> round(float(loss), 4)  # two rows, three equal candidates: 2 log 3
      2.1972
    """
    if not rows:
        raise ValueError("`rows` must hold at least one tensor [batch, ...]. Got none.")
    batch, num_rows = tf.shape(rows[0])[0], len(rows)
    weights = row_weights(sample_weight, batch)

    def block_loss(
        block: slice,
        parts: Sequence[tf.Tensor],
        shared: Sequence[tf.Tensor],
        *,
        gradients: bool,
    ) -> BlockLoss:
        inputs = [*parts[:num_rows], *shared]
        weight, own = parts[num_rows], positives[block]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            logits = score_block(block, inputs[:num_rows], inputs[num_rows:])
            logits = tf.cast(logits, tf.float32)
        is_own = own[:, None] == tf.range(num_candidates)
        others, softmax = log_sum_exp(tf.where(is_own, logits.dtype.min, logits))
        margin = others - tf.gather(logits, own, batch_dims=1)
        losses = tf.nn.softplus(margin)  # never negative, and exact when it is small
        alone = others < others.dtype.min / 2
        if not gradients:
            return BlockLoss(weight * losses, alone)
        slope = tf.where(is_own, -1.0, softmax)
        slopes = tape.gradient(
            logits,
            inputs,
            output_gradients=slope * (weight * tf.sigmoid(margin))[:, None],
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        slopes = [tf.convert_to_tensor(slope) for slope in slopes]
        return BlockLoss(
            weight * losses,
            alone,
            [*slopes[:num_rows], losses],
            slopes[num_rows:],
        )

    loss, _ = sum_over_blocks(
        block_loss,
        [*rows, weights],
        shared,
        num_candidates=num_candidates,
        block_size=block_size,
        gradients=training,
    )
    return loss
