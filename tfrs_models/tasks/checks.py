"""Checks of what a task is called with."""

import tensorflow as tf


def check_embeddings(queries: tf.Tensor, candidates: tf.Tensor) -> None:
    """Raises a `ValueError` for embeddings that do not fit together."""
    if queries.shape.rank not in (2, 3) or candidates.shape.rank != 2:
        raise ValueError(
            "`query_embeddings` must be [batch, embedding_dim] or [batch, num_heads, "
            "embedding_dim] and `candidate_embeddings` [num_candidates, embedding_dim]."
            f" Got {queries.shape} and {candidates.shape}."
        )
    if not queries.shape[-1:].is_compatible_with(candidates.shape[-1:]):
        raise ValueError(
            "Query and candidate embeddings must have the same width. Got "
            f"{queries.shape[-1]} and {candidates.shape[-1]}."
        )
    batch, num_candidates = queries.shape[0], candidates.shape[0]
    if None not in (batch, num_candidates) and num_candidates < batch:
        raise ValueError(
            "`candidate_embeddings` must begin with one positive for each query. Got "
            f"{num_candidates} candidates for {batch} queries."
        )


def candidate_column(name: str, values: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
    """`values` as `[num_candidates]`."""
    values = tf.reshape(values, [-1])
    if not values.shape.is_compatible_with(candidates.shape[:1]):
        raise ValueError(
            f"`{name}` must have one value for each of the {candidates.shape[0]} "
            f"candidates. Got {values.shape[0]}."
        )
    return values
