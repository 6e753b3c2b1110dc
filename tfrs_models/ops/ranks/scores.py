"""Scores of queries and candidates."""

import tensorflow as tf


def dot_scores(queries: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
    """Computes the dot products of all queries with all candidates.

    Args:
      queries: query embeddings, `[batch, embedding_dim]`, or `[batch, num_heads,
        embedding_dim]`, where the best head counts.
      candidates: candidate embeddings, `[num_candidates, embedding_dim]`.

    Returns:
      `[batch, num_candidates]`.
    """
    if queries.shape.rank == 2:
        return tf.matmul(queries, candidates, transpose_b=True)
    num_heads, width = tf.unstack(tf.shape(queries)[1:])
    flat = tf.matmul(tf.reshape(queries, [-1, width]), candidates, transpose_b=True)
    heads = tf.reshape(flat, [-1, num_heads, tf.shape(candidates)[0]])
    return tf.reduce_max(heads, axis=1)


def unit_rows(values: tf.Tensor) -> tf.Tensor:
    """Divides each row by its length, however long or short it is; 0 stays 0.

    Args:
      values: `[n, width]`; half precision is divided in float32.

    Returns:
      `[n, width]` in the dtype of the values.
    """
    rows = tf.cast(values, tf.float32) if values.dtype.size < 4 else values
    # First by the largest entry: the squares of the quotients fit into their type.
    largest = tf.reduce_max(tf.abs(rows), axis=1, keepdims=True)
    rows = tf.math.divide_no_nan(rows, largest)
    length = tf.norm(rows, axis=1, keepdims=True)
    return tf.cast(tf.math.divide_no_nan(rows, length), values.dtype)


def best_copies(
    queries: tf.Tensor, corpus: tf.Tensor, copies: tf.RaggedTensor
) -> tuple[tf.Tensor, tf.RaggedTensor]:
    """Finds the copy of each positive that scores best, where a corpus holds several.

    The other copies are the same item and do not compete with the best one.

    Args:
      queries: query embeddings, `[batch, embedding_dim]`, or `[batch, num_heads,
        embedding_dim]`, where the best head counts.
      corpus: candidate embeddings, `[num_candidates, embedding_dim]`.
      copies: rows of the corpus that hold each query's positive, `[batch, None]` int32;
        an empty row where the corpus does not hold it.

    Returns:
      `[batch]` int32 rows of the best copies, -1 where there is none, and `[batch,
      None]` int32 rows of the other copies.
    """
    own = tf.gather(queries, copies.value_rowids())
    rows = tf.gather(corpus, copies.values)
    if queries.shape.rank == 3:
        scores = tf.reduce_max(tf.reduce_sum(own * rows[:, None], axis=2), axis=1)
    else:
        scores = tf.reduce_sum(own * rows, axis=1)
    lowest = scores.dtype.min
    # One more column, so that a batch without any copy has something to choose from.
    scores = tf.pad(
        copies.with_values(scores).to_tensor(lowest),
        [[0, 0], [0, 1]],
        constant_values=lowest,
    )
    padded = tf.pad(copies.to_tensor(-1), [[0, 0], [0, 1]], constant_values=-1)
    best = tf.gather(padded, tf.argmax(scores, axis=1), batch_dims=1)
    is_other = copies.values != tf.gather(best, copies.value_rowids())
    return best, tf.ragged.boolean_mask(copies, copies.with_values(is_other))
