"""Exact ranks of the positives over a whole corpus, by counting."""

import os
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfrs_models.ops.ranks.hidden_positives import hidden_positives
from tfrs_models.ops.ranks.score_tiles import count_tiles_unless, score_pairs_unless
from tfrs_models.ops.ranks.scores import dot_scores

_PARTS = min(os.cpu_count() or 1, 8)  # parts of a batch that are ranked in parallel
_TILED_FROM = 2**24  # scores; fewer fit in memory, and compiling does not pay
_ULPS = 8.0  # rounding slack of a score that another kernel computed


class CorpusRanks(NamedTuple):
    """Ranks of positives among the candidates that they compete with.

    Attributes:
      above: number of candidates that score higher than the positive, `[batch]` int32;
        0 for a miss.
      tied: number of other candidates that score the same, `[batch]` int32; 0 for a
        miss.
      num_candidates: number of candidates that the positive competes with, `[batch]`
        int32.
      found: False for a miss, where the corpus does not hold the positive or the
        exclusions hide it, `[batch]` bool.
      hidden: True where the exclusions hide a positive that the corpus holds, `[batch]`
        bool.
    """

    above: tf.Tensor
    tied: tf.Tensor
    num_candidates: tf.Tensor
    found: tf.Tensor
    hidden: tf.Tensor


def ranks_by_row(
    queries: tf.Tensor,
    corpus: tf.Tensor,
    positive_rows: tf.Tensor,
    excluded_rows: tf.RaggedTensor,
) -> CorpusRanks:
    """Ranks positives that are rows of the corpus.

    All scores that are compared come from products of one shape, so that equal
    embeddings score equal to the last bit: a collapsed model is a tie, not an order.

    Args:
      queries: query embeddings, `[batch, embedding_dim]`, or `[batch, num_heads,
        embedding_dim]` (the score is then the maximum over the heads).
      corpus: candidate embeddings, `[num_candidates, embedding_dim]`.
      positive_rows: rows of the positives in the corpus, `[batch]` int32, -1 where the
        corpus does not hold the positive.
      excluded_rows: rows that do not compete for a query, `[batch, None]` int32;
        repeats and -1 are ignored. A positive whose own row is among them is a miss.

    Returns:
      The ranks of the positives.
    """
    # One function for each rank: the relaxed shapes of one would swallow the other's.
    ranks = _ranks_by_row if queries.shape.rank == 2 else _ranks_by_row_of_heads
    return ranks(queries, corpus, positive_rows, excluded_rows)


def _rank_part_by_row(
    queries: tf.Tensor,
    corpus: tf.Tensor,
    positive_rows: tf.Tensor,
    excluded_rows: tf.RaggedTensor,
) -> CorpusRanks:
    batch, size = tf.shape(positive_rows)[0], tf.shape(corpus)[0]
    is_held, own = positive_rows >= 0, tf.maximum(positive_rows, 0)
    hidden = is_held & hidden_positives(positive_rows, excluded_rows)
    found = is_held & ~hidden
    excluded, excluded_from = _distinct_pairs(excluded_rows, size)
    owners = tf.concat([tf.range(batch), excluded_from], axis=0)
    rows = tf.concat([own, excluded], axis=0)

    small = _is_small(batch, size)
    scores = _scores_if(small, queries, corpus)
    pairs = _pick(scores, owners, rows)
    pairs = score_pairs_unless(small, queries, corpus, owners, rows, pairs)
    above, reached = _count(scores, pairs[:batch], pairs[:batch])
    above, reached = count_tiles_unless(
        small, queries, corpus, pairs[:batch], pairs[:batch], (above, reached)
    )
    threshold = tf.gather(pairs[:batch], excluded_from)
    above -= _per_query(pairs[batch:] > threshold, excluded_from, batch)
    reached -= _per_query(pairs[batch:] >= threshold, excluded_from, batch)
    num_excluded = _per_query(tf.ones_like(excluded, tf.bool), excluded_from, batch)
    above = tf.where(found, above, 0)
    return CorpusRanks(
        above=above,
        tied=tf.where(found, reached - above - 1, 0),  # 1: the positive itself
        num_candidates=size - tf.cast(found, tf.int32) - num_excluded,
        found=found,
        hidden=hidden,
    )


def _rank_rows(
    queries: tf.Tensor,
    corpus: tf.Tensor,
    positive_rows: tf.Tensor,
    excluded_rows: tf.RaggedTensor,
) -> CorpusRanks:
    def rank(part: slice) -> CorpusRanks:
        excluded = excluded_rows[part]
        return _rank_part_by_row(queries[part], corpus, positive_rows[part], excluded)

    return _in_parts(rank, tf.shape(queries)[0], tf.shape(corpus)[0])


_ranks_by_row = tf.function(_rank_rows, reduce_retracing=True)
_ranks_by_row_of_heads = tf.function(_rank_rows, reduce_retracing=True)


@tf.function(reduce_retracing=True)
def ranks_by_score(
    queries: tf.Tensor, corpus: tf.Tensor, positives: tf.Tensor
) -> CorpusRanks:
    """Ranks positives that are known by their embedding only.

    The positive may or may not be in the corpus. Its score is computed apart, so a
    candidate within rounding of it is a tie, and one such tie is taken for the
    positive's own copy.

    Args:
      queries: query embeddings, `[batch, embedding_dim]`.
      corpus: candidate embeddings, `[num_candidates, embedding_dim]`.
      positives: embeddings of the positives, `[batch, embedding_dim]`.

    Returns:
      The ranks of the positives.
    """
    return _in_parts(
        lambda part: _rank_part_by_score(queries[part], corpus, positives[part]),
        tf.shape(queries)[0],
        tf.shape(corpus)[0],
    )


def _rank_part_by_score(
    queries: tf.Tensor, corpus: tf.Tensor, positives: tf.Tensor
) -> CorpusRanks:
    batch, size = tf.shape(queries)[0], tf.shape(corpus)[0]
    products = queries * positives
    score = tf.reduce_sum(products, axis=1)
    slack = _ULPS * np.finfo(score.dtype.as_numpy_dtype).eps
    slack *= tf.reduce_sum(tf.abs(products), axis=1)
    small = _is_small(batch, size)
    lower, upper = score - slack, score + slack
    above, reached = _count(_scores_if(small, queries, corpus), lower, upper)
    above, reached = count_tiles_unless(
        small, queries, corpus, lower, upper, (above, reached)
    )
    copies = tf.cast(reached > above, tf.int32)
    return CorpusRanks(
        above=above,
        tied=reached - above - copies,
        num_candidates=size - copies,
        found=tf.ones_like(score, tf.bool),
        hidden=tf.zeros_like(score, tf.bool),
    )


def _in_parts(
    rank: Callable[[slice], CorpusRanks], batch: tf.Tensor, size: tf.Tensor
) -> CorpusRanks:
    """Ranks a large batch in parts, one for each processor.

    With one batch the processors would wait for each other after every tile. In a small
    problem all parts but the first are empty.
    """
    rows = tf.where(_is_small(batch, size), batch, -(-batch // _PARTS))
    parts = [rank(slice(i * rows, (i + 1) * rows)) for i in range(_PARTS)]
    return CorpusRanks(*(tf.concat(part, axis=0) for part in zip(*parts, strict=True)))


# A small problem is scored at once, a large one in tiles. With `tf.cond`, TensorFlow's
# graph optimiser would take the loops over the tiles for cycles. So both branches run,
# and the one that is not used gets an empty corpus or a loop without steps.


def _is_small(batch: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    return tf.cast(batch, tf.int64) * tf.cast(size, tf.int64) < _TILED_FROM


def _scores_if(small: tf.Tensor, queries: tf.Tensor, corpus: tf.Tensor) -> tf.Tensor:
    """`[batch, num_candidates]` scores; `[batch, 0]` where the problem is large."""
    corpus = corpus[: tf.where(small, tf.shape(corpus)[0], 0)]
    # A width that is a multiple of 16 leaves the product no edge, where a kernel may
    # sum in another order and give equal candidates different scores.
    size = tf.shape(corpus)[0]
    return dot_scores(queries, tf.pad(corpus, [[0, -size % 16], [0, 0]]))[:, :size]


def _pick(scores: tf.Tensor, owners: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Reads the scores of pairs, `[num_pairs]`; zeros if there are no scores."""
    picked = tf.where(tf.shape(scores)[1] > 0, tf.size(owners), 0)
    indices = tf.stack([owners[:picked], rows[:picked]], axis=1)
    return tf.pad(tf.gather_nd(scores, indices), [[0, tf.size(owners) - picked]])


def _count(
    scores: tf.Tensor, lower: tf.Tensor, upper: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Counts each query's candidates above `upper`, and from `lower` on."""
    above = tf.cast(scores > upper[:, None], tf.int32)
    reached = tf.cast(scores >= lower[:, None], tf.int32)
    return tf.reduce_sum(above, axis=1), tf.reduce_sum(reached, axis=1)


def _distinct_pairs(
    excluded_rows: tf.RaggedTensor, size: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Flattens the rows to exclude, each pair once."""
    owners = tf.cast(excluded_rows.value_rowids(), tf.int64)
    rows = tf.cast(excluded_rows.values, tf.int64)
    size = tf.cast(size, tf.int64)
    pairs, _ = tf.unique(tf.boolean_mask(owners * size + rows, rows >= 0))
    return tf.cast(pairs % size, tf.int32), tf.cast(pairs // size, tf.int32)


def _per_query(flags: tf.Tensor, owners: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
    return tf.math.unsorted_segment_sum(tf.cast(flags, tf.int32), owners, batch)
