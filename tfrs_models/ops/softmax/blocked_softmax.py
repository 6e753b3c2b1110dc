"""Softmax cross-entropy in blocks of rows, whose scores are never held all at once."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from tfrs_models.ops.weights import weights_of_rows

_BLOCK_ROWS = 512  # with more, products are no faster and do not fit into the cache
_BLOCK_LOGITS = 2**26  # 256 MB of float32


class BlockLoss(NamedTuple):
    """Losses and gradients of one block of rows.

    Attributes:
      losses: weighted loss of each row, `[block]`.
      without_negatives: True for rows without a negative, `[block]` bool.
      of_rows: gradients of the sum of `losses` by each of the block's rows.
      of_shared: gradients of the sum of `losses` by each shared tensor.
    """

    losses: tf.Tensor
    without_negatives: tf.Tensor
    of_rows: Sequence[tf.Tensor] = ()
    of_shared: Sequence[tf.Tensor] = ()


def sum_over_blocks(
    block_loss: Callable[..., BlockLoss],
    rows: Sequence[tf.Tensor],
    shared: Sequence[tf.Tensor],
    *,
    num_candidates: tf.Tensor | int,
    block_size: int | str = "auto",
    gradients: bool = True,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Sums a loss over all rows; the sum is differentiable once.

    Gradients are formed in the forward pass, while the scores of a block are in memory:
    nothing is computed twice, and only the gradients stay in memory.

    Args:
      block_loss: function of the block's slice of the batch, its rows, the shared
        tensors and `gradients`, which returns a `BlockLoss`.
      rows: differentiable tensors that are cut into blocks, `[batch, ...]` each.
      shared: differentiable tensors that every block needs whole.
      num_candidates: number of columns of a block.
      block_size: number of rows of a block; `"auto"` keeps a block's scores below
        256 MB.
      gradients: False if no gradient is needed, which is faster; if one is taken
        nevertheless, the forward pass is done again.

    Returns:
      The scalar sum, and the number of rows without a negative.
    """
    num_rows = len(rows)
    size = block_rows(num_candidates) if block_size == "auto" else block_size

    @tf.custom_gradient
    def total(*tensors: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        # An outer tape that watches them would hold the scores of all blocks.
        apart = [tf.stop_gradient(tensor) for tensor in tensors]
        parts = apart[:num_rows], apart[num_rows:]
        outcome = _loop(block_loss, *parts, size, gradients=gradients)

        def gradient(upstream: tf.Tensor, _: tf.Tensor) -> list[tf.Tensor]:
            found = outcome
            if not gradients:
                found = _loop(block_loss, *parts, size, gradients=True)
            return [
                upstream * once_differentiable(slope, *tensors)
                for slope in (*found.of_rows, *found.of_shared)
            ]

        return (outcome.losses, outcome.without_negatives), gradient

    return total(*map(tf.convert_to_tensor, (*rows, *shared)))


def block_rows(num_candidates: tf.Tensor | int) -> tf.Tensor:
    """Computes the number of rows of a block whose scores are below 256 MB.

    Args:
      num_candidates: number of columns of a block.

    Returns:
      Scalar int32, at least 1.
    """
    columns = tf.maximum(tf.cast(num_candidates, tf.int32), 1)
    return tf.clip_by_value(_BLOCK_LOGITS // columns, 1, _BLOCK_ROWS)


def row_weights(sample_weight: tf.Tensor | None, batch: tf.Tensor) -> tf.Tensor:
    """Returns the checked weights of rows, `[batch]` float32; ones for None.

    Args:
      sample_weight: weights of the rows, `[batch]`.
      batch: number of rows, scalar int32.
    """
    if sample_weight is None:
        return tf.ones([batch])
    return weights_of_rows(sample_weight, batch)


def _loop(
    block_loss: Callable[..., BlockLoss],
    rows: Sequence[tf.Tensor],
    shared: Sequence[tf.Tensor],
    size: tf.Tensor | int,
    *,
    gradients: bool,
) -> BlockLoss:
    """Sums over all blocks, and concatenates the gradients by rows."""
    batch = tf.shape(rows[0])[0]
    num_blocks = tf.maximum(-(-batch // size), 1)  # 1 where there are no rows
    slopes = [
        tf.TensorArray(
            row.dtype,
            num_blocks,
            infer_shape=False,
            element_shape=tf.TensorShape([None]).concatenate(row.shape[1:]),
        )
        for row in (rows if gradients else ())
    ]
    sums = [tf.zeros_like(tensor) for tensor in (shared if gradients else ())]

    def add(
        block: tf.Tensor,
        total: tf.Tensor,
        alone: tf.Tensor,
        slopes: list,
        sums: list,
    ) -> tuple:
        part_of_batch = slice(block * size, tf.minimum((block + 1) * size, batch))
        part = block_loss(
            part_of_batch,
            [row[part_of_batch] for row in rows],
            shared,
            gradients=gradients,
        )
        slopes = [s.write(block, g) for s, g in zip(slopes, part.of_rows, strict=True)]
        sums = [s + g for s, g in zip(sums, part.of_shared, strict=True)]
        total += tf.reduce_sum(part.losses)
        alone += tf.math.count_nonzero(part.without_negatives, dtype=alone.dtype)
        return block + 1, total, alone, slopes, sums

    _, total, alone, slopes, sums = tf.while_loop(
        lambda block, *_: block < num_blocks,
        add,
        (0, tf.zeros([], rows[0].dtype), tf.zeros([], tf.int32), slopes, sums),
        parallel_iterations=1,
    )
    of_rows = [
        tf.ensure_shape(tf.reshape(s.concat(), tf.shape(row)), row.shape)
        for s, row in zip(slopes, rows if gradients else (), strict=True)
    ]
    return BlockLoss(total, alone, of_rows, sums)


@tf.custom_gradient
def once_differentiable(slope: tf.Tensor, *_: tf.Tensor) -> tuple[tf.Tensor, Callable]:
    """Returns a gradient that itself cannot be differentiated.

    Args:
      slope: gradient that was formed in the forward pass.
      *_: tensors that the gradient depends on.

    Returns:
      The gradient; differentiating it by one of the tensors raises a `LookupError`.
    """

    def refuse(*_: tf.Tensor) -> None:
        raise LookupError("This loss can be differentiated once, not twice.")

    return tf.identity(slope), refuse


def log_sum_exp(logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes the log-sum-exp of each row, and its gradient, the softmax.

    One fast kernel makes the softmax, whose maximum is `exp(max - logsumexp)`.

    Args:
      logits: finite logits, `[batch, num_candidates]`.

    Returns:
      The log-sum-exp, `[batch]`, and the softmax, `[batch, num_candidates]`.
    """
    softmax = tf.nn.softmax(logits)
    largest = tf.reduce_max(logits, axis=1)
    return largest - tf.math.log(tf.reduce_max(softmax, axis=1)), softmax


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
