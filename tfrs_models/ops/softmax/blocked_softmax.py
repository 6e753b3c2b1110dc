"""Softmax cross-entropy of scores that are never held all at once."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from tfrs_models.ops.softmax.blocks import (
    BlockLoss,
    row_weights,
    softmax_mass,
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
    """Summed cross-entropy of each row's positive among all candidates.

    For scores of any form; `losses.sampled_softmax` is made for dot products. Memory is
    that of one block's scores and of what `score_block` needs for them.

    Args:
      score_block: From the place of a block in the batch (a slice), the block's part of
        `rows`, and `shared`, to logits `[block, num_candidates]`. Differentiated by
        rows and shared only, not by tensors that it captures; captured tensors of the
        batch it cuts itself by the slice.
      num_candidates: Columns that `score_block` returns.
      positives: `[batch]` int32 columns.
      rows: Floating tensors `[batch, ...]`, at least one.
      shared: Floating tensors that every block needs whole, such as the embeddings of
        the candidates.
      sample_weight: `[batch]`.
      block_size: Rows of a block; `"auto"` keeps a block's scores below 256 MB.
      training: False where no gradient will be asked for, which is faster.

    Returns:
      Scalar float32, differentiable once.

    Example:
      >>> loss = blocked_softmax_cross_entropy(
      ...     lambda place, rows, shared: tf.matmul(*rows, *shared, transpose_b=True),
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
        place: slice,
        parts: Sequence[tf.Tensor],
        shared: Sequence[tf.Tensor],
        *,
        gradients: bool,
    ) -> BlockLoss:
        inputs = [*parts[:num_rows], *shared]
        weight, own = parts[num_rows], positives[place]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            logits = score_block(place, inputs[:num_rows], inputs[num_rows:])
            logits = tf.cast(logits, tf.float32)
        is_own = own[:, None] == tf.range(num_candidates)
        mass, softmax = softmax_mass(tf.where(is_own, logits.dtype.min, logits))
        margin = mass - tf.gather(logits, own, batch_dims=1)
        losses = tf.nn.softplus(margin)  # never negative, and exact when it is small
        lonely = mass < mass.dtype.min / 2
        if not gradients:
            return BlockLoss(weight * losses, lonely)
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
            lonely,
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
