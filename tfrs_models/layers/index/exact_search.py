"""Scores of all candidates of an index, or of all that are named."""

import tensorflow as tf

from tfrs_models.layers.index.restrictions import (
    Restrictions,
    all_pass,
    is_among,
    passes,
)
from tfrs_models.layers.index.snapshot import Snapshot
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
    """The best slots of each query.

    Args:
      queries: `[batch, embedding_dim]`.
      snapshot: what the index holds.
      restrictions: Of the queries.
      k: How many.
      num_valid: Slots from here on are free; none where None.
      in_use: `[num_slots]` bool, which are not free; all where None.

    Returns:
      Scores and slots `[batch, k]`, the score `-inf` where nothing is left.
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
    """The best slots that pass.

    Args:
      scores: `[batch, num_slots]`.
      snapshot: what the index holds.
      restrictions: Of the queries.
      k: How many.
      num_valid: Slots from here on are free; none where None.

    Returns:
      Scores and slots `[batch, k]`, the score `-inf` where nothing is left.
    """
    lowest = tf.constant(-float("inf"), scores.dtype)
    if restrictions.excluded is not None:
        known = tf.where(restrictions.excluded >= 0)
        slots = tf.gather_nd(restrictions.excluded, known)
        pairs = tf.stack([tf.cast(known[:, 0], tf.int32), slots], axis=1)
        lows = tf.fill(tf.shape(slots), lowest)
        scores = tf.tensor_scatter_nd_update(scores, pairs, lows)
    if restrictions.wanted:
        scores = tf.where(all_pass(snapshot, restrictions.wanted), scores, lowest)
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
    slots: tf.Tensor,
    *,
    k: int | tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """The best of the given slots for each query.

    Args:
      queries: `[batch, embedding_dim]`.
      snapshot: what the index holds.
      restrictions: Of the queries.
      slots: `[batch, width]` int32, -1 for none, repeats allowed.
      k: How many.

    Returns:
      Scores and slots `[batch, k]`, the score `-inf` where nothing is left.
    """
    missing = tf.maximum(k - tf.shape(slots)[1], 0)
    slots = tf.pad(slots, [[0, 0], [0, missing]], constant_values=-1)
    slots = tf.sort(slots, axis=1)
    repeated = tf.pad(slots[:, 1:] == slots[:, :-1], [[0, 0], [1, 0]])
    rows = tf.maximum(slots, 0)
    valid = (slots >= 0) & ~repeated & passes(snapshot, restrictions.wanted, rows)
    if restrictions.excluded is not None:
        valid &= ~is_among(slots, restrictions.excluded)
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
    scores, places = tf.math.top_k(scores, k=k)
    return scores, tf.gather(rows, places, batch_dims=1)
