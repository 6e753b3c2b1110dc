"""Hits among the answers of an index whose ranks cannot be counted."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfrs_models.layers.index.hooks import has_own_scores, search_then_exclude
from tfrs_models.layers.index.streaming import Streaming
from tfrs_models.layers.index.table_index import TableIndex
from tfrs_models.ops.ranks.hidden_positives import hidden_positives
from tfrs_models.ops.ranks.lookup import comparable

_ULPS = 8.0  # rounding slack of a score that another kernel computed
_TopK = tfrs.layers.factorized_top_k.TopK


def hits_by_answers(
    index: _TopK,
    queries: tf.Tensor,
    positives: tf.Tensor,
    positive_ids: tf.Tensor | None,
    exclude: tf.RaggedTensor | None,
    *,
    ks: Sequence[int],
) -> tuple[list[tf.Tensor], tf.Tensor]:
    """Returns whether each positive is among the first `k` answers of an index.

    Args:
      index: approximate index, or one of a class with its own `call` or scores.
      queries: `[batch, embedding_dim]` embeddings.
      positives: `[batch, embedding_dim]` embeddings; used only where there are no ids.
      positive_ids: `[batch]` ids. Where None the index is exact, and a positive is a
        hit if fewer than `k` answers score higher.
      exclude: `[batch, None]` ids that do not compete in a row; only with ids. A
        positive among them is no hit.
      ks: numbers of answers that count.

    Returns:
      A `[batch]` bool for each `k`, and `[batch]` bool, True where the exclusions hide
      the positive.
    """
    k = max(ks)
    if (size := getattr(index, "num_candidates", None)) is not None:
        k = min(k, size)  # upstream's cut a `k` that is too large
    if positive_ids is None:
        scores, _ = index(queries, k=k)
        own = _own_scores(index, queries, positives)
        # The index computes in another shape: scores within rounding are ties.
        slack = tf.reduce_sum(tf.abs(queries * positives), axis=1) + tf.abs(own)
        own += _ULPS * np.finfo(np.float32).eps * slack
        above = tf.math.count_nonzero(scores > own[:, None], axis=1)
        return [above < k for k in ks], tf.zeros_like(own, tf.bool)
    if exclude is None:
        scores, retrieved = index(queries, k=k)
    else:
        scores, retrieved = _search_without(index, queries, exclude, k)
    hidden = hidden_positives(positive_ids, exclude)
    own = comparable(positive_ids, retrieved.dtype)
    hit = tf.equal(own[:, None], comparable(retrieved, own.dtype))
    hit &= tf.math.is_finite(scores)  # other scores fill ranks without a candidate
    hit &= ~hidden[:, None]
    return [tf.reduce_any(hit[:, :k], axis=1) for k in ks], hidden


def _search_without(
    index: _TopK, queries: tf.Tensor, exclude: tf.RaggedTensor, k: int
) -> tuple[tf.Tensor, tf.Tensor]:
    if isinstance(index, (TableIndex, Streaming)):
        return index.query_with_exclusions(queries, exclude, k=k)
    return search_then_exclude(
        index, queries, exclude, k=k, num_candidates=None, num_copies=1
    )


def _own_scores(index: _TopK, queries: tf.Tensor, positives: tf.Tensor) -> tf.Tensor:
    """Computes `[batch]` scores of the positives by the measure of the index."""
    if has_own_scores(index):
        return tf.linalg.diag_part(index._compute_score(queries, positives))
    return tf.reduce_sum(queries * positives, axis=1)
