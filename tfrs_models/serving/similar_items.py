"""Queries for items like given ones."""

import tensorflow as tf

from tfrs_models.layers.index.checks import scoring_dtype
from tfrs_models.layers.index.live import Snapshot


def mean_embeddings(
    snapshot: Snapshot, items: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Averages the embeddings of the candidates of each row.

    Args:
      snapshot: state of the index.
      items: `[batch, n]` ids of candidates; ids that are not indexed do not count.

    Returns:
      `[batch, embedding_dim]` means, 0 for a row without candidates, and `[batch]`
      int32 numbers of candidates.
    """
    slots = snapshot.find(items)
    rows = tf.gather(snapshot["candidates"], tf.maximum(slots, 0))
    rows = tf.cast(rows, scoring_dtype(rows.dtype))
    weights = tf.cast(slots >= 0, rows.dtype)
    total = tf.einsum("bn,bnd->bd", weights, rows)
    number = tf.reduce_sum(weights, axis=1)
    means = tf.math.divide_no_nan(total, number[:, None])
    return means, tf.cast(number, tf.int32)
