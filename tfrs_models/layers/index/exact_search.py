"""Scores all candidates of an index, or all that a query allows."""

import tensorflow as tf

from tfrs_models.layers.index.live import Snapshot
from tfrs_models.layers.index.restrictions import (
    Restrictions,
    all_pass_filters,
    is_among,
    passing,
)
from tfrs_models.ops.ranks.block_top_k import block_top_k


def search_all(
    queries: tf.Tensor,
    snapshot: Snapshot,
    restrictions: Restrictions,
    *,
    k: int | tf.Tensor,
    num_valid: tf.Tensor | None = None,
    in_use: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Finds the best slots of each query by its products with all candidates.

    Args:
      queries: `[batch, embedding_dim]` embeddings.
      snapshot: state of the index.
      restrictions: restrictions of the queries.
      k: number of slots to return.
      num_valid: number of the first slots that hold a candidate, a scalar; all if None.
      in_use: `[num_slots]` bool, True for slots that hold a candidate; all if None.

    Returns:
      Scores and slots `[batch, k]`; the score is `-inf` at positions without any.
    """
    embeddings = tf.cast(snapshot["candidates"], queries.dtype)
    scores = tf.matmul(queries, embeddings, transpose_b=True)
    if in_use is not None:
        lowest = tf.constant(-float("inf"), scores.dtype)
        scores = tf.where(in_use, scores, lowest)
    return best_of(scores, snapshot, restrictions, k=k, num_valid=num_valid)


def best_of(
    scores: tf.Tensor,
    snapshot: Snapshot,
    restrictions: Restrictions,
    *,
    k: int | tf.Tensor,
    num_valid: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Finds the best of scored slots that pass the restrictions.

    Args:
      scores: `[batch, n]` scores of the first `n` slots.
      snapshot: state of the index.
      restrictions: restrictions of the queries.
      k: number of slots to return.
      num_valid: number of the first slots that hold a candidate, a scalar; all if None.

    Returns:
      Scores and slots `[batch, k]`; the score is `-inf` at positions without any.
    """
    lowest = tf.constant(-float("inf"), scores.dtype)
    if restrictions.exclusions is not None:
        known = tf.where(restrictions.exclusions >= 0)
        slots = tf.gather_nd(restrictions.exclusions, known)
        pairs = tf.stack([tf.cast(known[:, 0], tf.int32), slots], axis=1)
        lows = tf.fill(tf.shape(slots), lowest)
        scores = tf.tensor_scatter_nd_update(scores, pairs, lows)
    if restrictions.allowed is not None:
        slots = tf.broadcast_to(tf.range(tf.shape(scores)[1]), tf.shape(scores))
        scores = tf.where(is_among(slots, restrictions.allowed), scores, lowest)
    if restrictions.filters:
        passed = all_pass_filters(snapshot, restrictions.filters, tf.shape(scores)[1])
        scores = tf.where(passed, scores, lowest)
    if not tf.is_tensor(k):
        return block_top_k(scores, k, num_valid=num_valid)
    most = tf.minimum(k, tf.shape(scores)[1])
    scores, slots = block_top_k(scores, most, num_valid=num_valid)
    missing = [[0, 0], [0, k - most]]
    return tf.pad(scores, missing, constant_values=lowest), tf.pad(slots, missing)


def search_among(
    queries: tf.Tensor,
    snapshot: Snapshot,
    restrictions: Restrictions,
    *,
    k: int | tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Finds the best of the allowed slots of each query, scoring no others.

    Args:
      queries: `[batch, embedding_dim]` embeddings.
      snapshot: state of the index.
      restrictions: restrictions of the queries, `allowed` among them; a slot may be
        allowed repeatedly.
      k: number of slots to return.

    Returns:
      Scores and slots `[batch, k]`; the score is `-inf` at positions without any.
    """
    slots = restrictions.allowed
    missing = tf.maximum(k - tf.shape(slots)[1], 0)
    slots = tf.pad(slots, [[0, 0], [0, missing]], constant_values=-1)
    slots = tf.sort(slots, axis=1)
    repeated = tf.pad(slots[:, 1:] == slots[:, :-1], [[0, 0], [1, 0]])
    rows = tf.maximum(slots, 0)
    others = restrictions._replace(allowed=None)
    valid = (slots >= 0) & ~repeated & passing(snapshot, others, rows)
    scores = tf.cond(
        tf.shape(queries)[0] > 0,
        # A query at a time: `[batch, width, embedding_dim]` is large.
        lambda: tf.map_fn(
            lambda row: tf.linalg.matvec(
                tf.cast(tf.gather(snapshot["candidates"], row[1]), row[0].dtype), row[0]
            ),
            (queries, rows),
            fn_output_signature=queries.dtype,
        ),
        lambda: tf.zeros(tf.shape(rows), queries.dtype),
    )
    scores = tf.where(valid, scores, tf.constant(-float("inf"), scores.dtype))
    scores, columns = tf.math.top_k(scores, k=k)
    return scores, tf.gather(rows, columns, batch_dims=1)
