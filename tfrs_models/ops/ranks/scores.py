"""The score of a query and a candidate."""

import tensorflow as tf


def dot_scores(queries: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
    """Dot products of all queries with all candidates.

    Args:
      queries: `[batch, embedding_dim]`, or `[batch, num_heads, embedding_dim]`, where
        the best head counts.
      candidates: `[num_candidates, embedding_dim]`.

    Returns:
      `[batch, num_candidates]`.
    """
    if queries.shape.rank == 2:
        return tf.matmul(queries, candidates, transpose_b=True)
    num_heads, width = tf.unstack(tf.shape(queries)[1:])
    flat = tf.matmul(tf.reshape(queries, [-1, width]), candidates, transpose_b=True)
    heads = tf.reshape(flat, [-1, num_heads, tf.shape(candidates)[0]])
    return tf.reduce_max(heads, axis=1)
