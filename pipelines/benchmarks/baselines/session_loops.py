"""Three other ways to form the pairs of a batch of sessions, for comparisons.

They omit parts, confidences and downsampling, which our measurements include.
"""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

Session = tuple[np.ndarray, np.ndarray, np.ndarray]
Tower = Callable[[tf.Tensor], tf.Tensor]


def per_session_loss(
    sessions: Sequence[Session],
    query_tower: Tower,
    item_tower: Tower,
    *,
    margin: float,
) -> tf.Tensor:
    """Calls each tower once per session and forms its pairs with NumPy.

    Args:
      sessions: query, rows of the items and clicks of each session.
      query_tower: function from queries to embeddings.
      item_tower: function from rows to embeddings.
      margin: margin of the loss.
    """
    positives, negatives = [], []
    for query, rows, clicked in sessions:
        ranks = _cosine(query_tower(query[None]), item_tower(rows))
        left, right = np.meshgrid(
            np.flatnonzero(clicked), np.flatnonzero(~clicked), indexing="ij"
        )
        positives.append(tf.gather(ranks, left.ravel()))
        negatives.append(tf.gather(ranks, right.ravel()))
    gap = tf.concat(positives, axis=0) - tf.concat(negatives, axis=0)
    return _loss(gap, margin)


def mapped_loss(
    sessions: Sequence[tf.Tensor],
    query_tower: Tower,
    item_tower: Tower,
    *,
    margin: float,
) -> tf.Tensor:
    """Computes `per_session_loss` by a `tf.map_fn`, for sessions of one shape.

    Args:
      sessions: queries `[num_sessions]`, rows and clicks `[num_sessions, list_size]`.
      query_tower: function from queries to embeddings.
      item_tower: function from rows to embeddings.
      margin: margin of the loss.
    """

    def total_of_one(session: Sequence[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        query, rows, clicked = session
        ranks = _cosine(query_tower(query[None]), item_tower(rows))
        gap = tf.boolean_mask(ranks, clicked)[:, None]
        gap -= tf.boolean_mask(ranks, ~clicked)[None, :]
        kept = tf.cast((tf.abs(gap) > 0) & (tf.abs(gap) < 1), gap.dtype)
        return tf.reduce_sum(kept * tf.sigmoid(margin - gap)), tf.reduce_sum(kept)

    totals, counts = tf.map_fn(
        total_of_one, list(sessions), fn_output_signature=(tf.float32, tf.float32)
    )
    return tf.reduce_sum(totals) / tf.reduce_sum(counts)


def per_item_loss(
    sessions: Sequence[Session],
    query_tower: Tower,
    item_tower: Tower,
    *,
    margin: float,
) -> tf.Tensor:
    """Calls the item tower once per item and subtracts pair by pair, as the original.

    Args:
      sessions: query, rows of the items and clicks of each session.
      query_tower: function from queries to embeddings.
      item_tower: function from rows to embeddings.
      margin: margin of the loss.
    """
    gaps = []
    for query, rows, clicked in sessions:
        embedded = query_tower(query[None])
        ranks = [_cosine(embedded, item_tower(row[None]))[0] for row in rows]
        for positive in np.flatnonzero(clicked):
            for negative in np.flatnonzero(~clicked):
                gaps.append(ranks[positive] - ranks[negative])
    return _loss(tf.stack(gaps), margin)


def _cosine(query: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
    query, items = (tf.math.l2_normalize(v, axis=-1) for v in (query, items))
    return tf.reduce_sum(query * items, axis=-1)


def _loss(gap: tf.Tensor, margin: float) -> tf.Tensor:
    difference = np.abs(gap.numpy())
    kept = np.flatnonzero((difference > 0) & (difference < 1))
    return tf.reduce_mean(tf.sigmoid(margin - tf.gather(gap, kept)))
