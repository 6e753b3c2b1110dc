"""Exact ranks under scores that are not dot products with a corpus."""

from collections.abc import Callable

import tensorflow as tf

from tfrs_models.ops.ranks.corpus_ranks import CorpusRanks
from tfrs_models.ops.ranks.hidden_positives import hidden_positives


def ranks_by_scorer(
    score: Callable[[tf.Tensor], tf.Tensor],
    num_candidates: tf.Tensor | int,
    positives: tf.Tensor,
    *,
    excluded: tf.RaggedTensor | None = None,
    block_size: int = 4096,
) -> CorpusRanks:
    """Ranks positives among all candidates under any score.

    Args:
      score: function from the numbers of some candidates, `[block]` int32, to their
        scores for each row of the batch, `[batch, block]`.
      num_candidates: number of candidates, which are numbered from 0.
      positives: numbers of the positives, `[batch]`, -1 where the positive is not a
        candidate.
      excluded: numbers of candidates that do not compete in a row, `[batch, None]`; a
        positive among them is a miss.
      block_size: number of candidates that are scored at once.

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
    """Computes the scores of all candidates, one block at a time.

    Every block has the same size (the last one repeats some candidates of the block
    before), so that equal candidates in two blocks score equal to the last bit.

    Args:
      score: function from the numbers of some candidates, `[block]` int32, to their
        scores, `[batch, block]`.
      num_candidates: number of candidates, which are numbered from 0.
      block_size: number of candidates that are scored at once.

    Returns:
      `[batch, num_candidates]` float32.
    """
    if isinstance(block_size, int) and block_size < 1:
        raise ValueError(f"`block_size` must be positive. Got {block_size}.")
    count = tf.convert_to_tensor(num_candidates, tf.int32)
    size = tf.minimum(block_size, count)
    num_blocks = tf.math.floordiv(count + size - 1, tf.maximum(size, 1))

    def add(block: tf.Tensor, blocks: tf.TensorArray) -> tuple:
        first = tf.minimum(block * size, count - size)
        scores = tf.cast(score(first + tf.range(size)), tf.float32)
        fresh = scores[
            :, block * size - first :
        ]  # without what the block before has scored
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
    """Ranks the positive of each row among the columns of its scores.

    A score that is NaN counts as above every other, and a positive whose own score is
    NaN ranks last: a broken model must not look like a good one.

    Args:
      scores: `[batch, num_candidates]`.
      positives: columns of the positives, `[batch]`, -1 where the positive is not a
        candidate.
      excluded: columns that do not compete in a row, `[batch, None]`; repeats and -1
        are ignored. A positive whose own column is among them is a miss.

    Returns:
      The ranks of the positives.
    """
    positives = tf.cast(positives, tf.int32)
    num_candidates = tf.shape(scores)[1]
    is_held = (positives >= 0) & (positives < num_candidates)
    hidden = is_held & hidden_positives(positives, excluded)
    found = is_held & ~hidden
    columns = tf.where(is_held, positives, 0)
    rivals = tf.range(num_candidates) != tf.where(is_held, positives, -1)[:, None]
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
        above=tf.where(found, count(rivals & ~(scores <= own)), 0),
        tied=tf.where(found, count(rivals & (scores == own)), 0),
        num_candidates=count(rivals),
        found=found,
        hidden=hidden,
    )
