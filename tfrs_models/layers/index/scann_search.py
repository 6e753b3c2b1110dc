"""The search of ScaNN, with a fixed number of answers."""

import tensorflow as tf

from tfrs_models.layers.index.exclusions import is_missing


def fetch(
    searcher: tf.Module,
    queries: tf.Tensor,
    number: int | tf.Tensor,
    *,
    leaves: int | tf.Tensor,
    reordered: int | None,
    parallel: bool,
) -> tuple[tf.Tensor, tf.Tensor]:
    """The candidates that are found first.

    Args:
      searcher: trained, as a module.
      queries: `[batch, embedding_dim]` float32.
      number: how many candidates.
      leaves: partitions that a query looks into.
      reordered: candidates that are scored again exactly; None for none.
      parallel: whether several threads share a batch.

    Returns:
      Scores, `-inf` for a place that is not filled, and rows `[batch, number]`.
    """
    from scann.scann_ops.py import scann_ops

    searcher = scann_ops.searcher_from_module(searcher)
    search = searcher.search_batched_parallel if parallel else searcher.search_batched
    found = search(
        queries,
        final_num_neighbors=number,
        pre_reorder_num_neighbors=(
            None if reordered is None else tf.maximum(reordered, number)
        ),
        leaves_to_search=leaves,
    )
    scores = tf.ensure_shape(found.distances, [queries.shape[0], None])
    rows = tf.ensure_shape(found.indices, [queries.shape[0], None])
    missing = [[0, 0], [0, tf.maximum(number - tf.shape(scores)[1], 0)]]
    scores = tf.pad(scores, missing, constant_values=-float("inf"))
    scores = tf.where(tf.math.is_nan(scores), -float("inf"), scores)
    rows = tf.where(is_missing(scores), 0, tf.pad(rows, missing))
    return scores, rows
