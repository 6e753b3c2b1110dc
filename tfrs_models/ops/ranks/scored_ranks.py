"""Exact ranks where the score is no dot product and no corpus of embeddings exists."""

from collections.abc import Callable

import tensorflow as tf

from tfrs_models.ops.ranks.corpus_ranks import CorpusRanks


def ranks_by_scorer(
    score: Callable[[tf.Tensor], tf.Tensor],
    num_candidates: tf.Tensor | int,
    positives: tf.Tensor,
    *,
    excluded: tf.RaggedTensor | None = None,
    block_size: int = 4096,
) -> CorpusRanks:
    """Ranks of the positives among all candidates under any score.

    Args:
      score: From the numbers `[block]` int32 of some candidates to their scores
        `[batch, block]` for each row of the batch.
      num_candidates: Candidates are numbered `0 .. num_candidates - 1`.
      positives: `[batch]` numbers, -1 where the positive is no candidate.
      excluded: `[batch, None]` numbers of candidates that do not compete in this row.
      block_size: Candidates that are scored at once.

    Returns:
      The ranks. Memory is `[batch, num_candidates]` float32 and what `score` needs for
      one block.
    """
    scores = scores_in_blocks(score, num_candidates, block_size=block_size)
    return ranks_of_columns(scores, positives, excluded=excluded)


def scores_in_blocks(
    score: Callable[[tf.Tensor], tf.Tensor],
    num_candidates: tf.Tensor | int,
    *,
    block_size: tf.Tensor | int = 4096,
) -> tf.Tensor:
    """`[batch, num_candidates]` float32 scores, computed a block at a time.

    Every block has the same size (the last one repeats some of its neighbour's), so
    that equal candidates score equal to the last bit wherever they stand.

    Args:
      score: From the numbers `[block]` int32 of some candidates to their scores
        `[batch, block]`.
      num_candidates: Candidates are numbered `0 .. num_candidates - 1`.
      block_size: Candidates that are scored at once.
    """
    if isinstance(block_size, int) and block_size < 1:
        raise ValueError(f"`block_size` must be positive. Got {block_size}.")
    count = tf.convert_to_tensor(num_candidates, tf.int32)
    size = tf.minimum(block_size, count)
    num_blocks = tf.math.floordiv(count + size - 1, tf.maximum(size, 1))

    def add(block: tf.Tensor, blocks: tf.TensorArray) -> tuple:
        first = tf.minimum(block * size, count - size)
        scores = tf.cast(score(first + tf.range(size)), tf.float32)
        fresh = scores[:, block * size - first :]  # not what the neighbour has scored
        return block + 1, blocks.write(block, tf.transpose(fresh))

    blocks = tf.TensorArray(
        tf.float32, num_blocks, infer_shape=False, element_shape=[None, None]
    )
    _, blocks = tf.while_loop(
        lambda block, _: block < num_blocks, add, [0, blocks], parallel_iterations=1
    )
    return tf.transpose(blocks.concat())


def ranks_of_columns(
    scores: tf.Tensor,
    positives: tf.Tensor,
    *,
    excluded: tf.RaggedTensor | None = None,
) -> CorpusRanks:
    """Ranks of one positive a row among the columns of its scores.

    A score that is not a number stands above every other, and a positive whose own
    score is not a number stands last: a broken model does not look like a good one.

    Args:
      scores: `[batch, num_candidates]`.
      positives: `[batch]` columns, -1 where the positive is no candidate.
      excluded: `[batch, None]` columns that do not compete in this row; repeats, -1
        and the positive's own column are ignored.
    """
    positives = tf.cast(positives, tf.int32)
    num_candidates = tf.shape(scores)[1]
    found = (positives >= 0) & (positives < num_candidates)
    columns = tf.where(found, positives, 0)
    rivals = found[:, None] & (tf.range(num_candidates) != columns[:, None])
    if excluded is not None:
        owners = tf.cast(excluded.value_rowids(), tf.int32)
        pairs = tf.stack([owners, tf.cast(excluded.values, tf.int32)], axis=1)
        pairs = tf.boolean_mask(
            pairs, (pairs[:, 1] >= 0) & (pairs[:, 1] < num_candidates)
        )
        rivals = tf.tensor_scatter_nd_update(
            rivals, pairs, tf.zeros([tf.shape(pairs)[0]], tf.bool)
        )
    own = tf.gather(scores, columns, batch_dims=1)[:, None]

    def count(flags: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(tf.cast(flags, tf.int32), axis=1)

    return CorpusRanks(
        above=count(rivals & ~(scores <= own)),
        tied=count(rivals & (scores == own)),
        num_candidates=count(rivals),
        found=found,
    )
