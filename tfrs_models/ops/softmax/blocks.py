"""Sums a loss over blocks of rows, so that `[batch, num_candidates]` is never held."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from tfrs_models.ops.weights import weights_of_rows

_BLOCK_ROWS = 512  # more do not make the products faster, but leave the cache
_BLOCK_LOGITS = 2**26  # 256 MB of float32


class BlockLoss(NamedTuple):
    """What a block of rows contributes.

    Attributes:
      losses: `[block]`, weighted.
      lonely: `[block]` bool, rows without a negative.
      of_rows: gradients of the sum of `losses` by each of the block's rows.
      of_shared: gradients of the sum of `losses` by each shared tensor.
    """

    losses: tf.Tensor
    lonely: tf.Tensor
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
    """The sum of a loss over all rows, differentiable once.

    Gradients are formed in the forward pass, while the scores of a block are at hand:
    nothing is computed twice and nothing but the gradients is kept.

    Args:
      block_loss: Called with the place of the block in the batch (a slice), its rows,
        the shared tensors and `gradients`; returns a `BlockLoss`.
      rows: Tensors `[batch, ...]` by which to differentiate, cut into blocks.
      shared: Tensors by which to differentiate, whole in every block.
      num_candidates: Columns of a block.
      block_size: Rows of a block; `"auto"` keeps a block's scores below 256 MB.
      gradients: False where no gradient will be asked for, which is faster; if one is
        asked for all the same, the forward pass is done again.

    Returns:
      The scalar sum, and the number of rows without a negative.
    """
    num_rows = len(rows)
    size = block_rows(num_candidates) if block_size == "auto" else block_size

    @tf.custom_gradient
    def total(*tensors: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        # Watched by an outer tape, the scores of all blocks would be kept.
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

        return (outcome.losses, outcome.lonely), gradient

    return total(*map(tf.convert_to_tensor, (*rows, *shared)))


def block_rows(num_candidates: tf.Tensor | int) -> tf.Tensor:
    """Rows of a block that keep its scores below 256 MB; at least one.

    Args:
      num_candidates: Columns of a block.
    """
    columns = tf.maximum(tf.cast(num_candidates, tf.int32), 1)
    return tf.clip_by_value(_BLOCK_LOGITS // columns, 1, _BLOCK_ROWS)


def row_weights(sample_weight: tf.Tensor | None, batch: tf.Tensor) -> tf.Tensor:
    """`[batch]` float32 weights of the rows; ones where there are none."""
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
    """Sums, with the gradients by rows put together again."""
    batch = tf.shape(rows[0])[0]
    num_blocks = tf.maximum(-(-batch // size), 1)  # also of a replica without rows
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
        lonely: tf.Tensor,
        slopes: list,
        sums: list,
    ) -> tuple:
        place = slice(block * size, tf.minimum((block + 1) * size, batch))
        part = block_loss(
            place, [row[place] for row in rows], shared, gradients=gradients
        )
        slopes = [s.write(block, g) for s, g in zip(slopes, part.of_rows, strict=True)]
        sums = [s + g for s, g in zip(sums, part.of_shared, strict=True)]
        total += tf.reduce_sum(part.losses)
        lonely += tf.math.count_nonzero(part.lonely, dtype=lonely.dtype)
        return block + 1, total, lonely, slopes, sums

    _, total, lonely, slopes, sums = tf.while_loop(
        lambda block, *_: block < num_blocks,
        add,
        (0, tf.zeros([], rows[0].dtype), tf.zeros([], tf.int32), slopes, sums),
        parallel_iterations=1,
    )
    of_rows = [
        tf.ensure_shape(tf.reshape(s.concat(), tf.shape(row)), row.shape)
        for s, row in zip(slopes, rows if gradients else (), strict=True)
    ]
    return BlockLoss(total, lonely, of_rows, sums)


@tf.custom_gradient
def once_differentiable(slope: tf.Tensor, *_: tf.Tensor) -> tuple[tf.Tensor, Callable]:
    """The slope; an error where it is differentiated.

    Args:
      slope: A gradient that was computed apart from the graph.
      *_: What it depends on, by which nobody may differentiate again.
    """

    def refuse(*_: tf.Tensor) -> None:
        raise LookupError("This loss can be differentiated once, not twice.")

    return tf.identity(slope), refuse


def softmax_mass(logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """`logsumexp` of each row, and its gradient by the logits, the softmax.

    One fast kernel makes the softmax, whose maximum is `exp(max - logsumexp)`.

    Args:
      logits: `[batch, num_candidates]`, finite.

    Returns:
      `[batch]` and `[batch, num_candidates]`.
    """
    softmax = tf.nn.softmax(logits)
    largest = tf.reduce_max(logits, axis=1)
    return largest - tf.math.log(tf.reduce_max(softmax, axis=1)), softmax
