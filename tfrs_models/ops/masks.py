"""Boolean masks over the columns of score matrices, and means under a mask."""

from collections.abc import Callable

import tensorflow as tf

from tfrs_models.ops.ranks.lookup import comparable, find_rows, index_ids

_TABLE = 2**20  # ids below it are looked up in a table of 4 MB


def positive_columns(labels: tf.Tensor) -> tf.Tensor:
    """Finds the column of each row's one positive.

    Args:
      labels: one-hot labels, `[batch, num_candidates]`; a replica without rows has no
        columns either, of which `argmax` would fail.

    Returns:
      `[batch]` int32.
    """
    first = tf.math.top_k(labels, k=tf.minimum(1, tf.shape(labels)[1])).indices
    return tf.reshape(first, [-1])


def same_item_mask(positive_ids: tf.Tensor, candidate_ids: tf.Tensor) -> tf.Tensor:
    """Marks the candidates that are the same item as a row's positive.

    Args:
      positive_ids: ids of the positives, `[batch]`.
      candidate_ids: ids of the candidates, `[num_candidates]`.

    Returns:
      `[batch, num_candidates]` bool, True for the positive itself too.
    """
    if candidate_ids.dtype == tf.string:  # numbers compare faster
        batch = tf.size(positive_ids)
        numbers = item_numbers(tf.concat([positive_ids, candidate_ids], axis=0))
        positive_ids, candidate_ids = numbers[:batch], numbers[batch:]
    return tf.equal(positive_ids[:, None], candidate_ids[None, :])


def item_numbers(ids: tf.Tensor) -> tf.Tensor:
    """Numbers the distinct ids: equal ids get equal numbers.

    Args:
      ids: ids of any dtype, `[n]`.

    Returns:
      `[n]` int32 below `n`.
    """
    return tf.unique(ids)[1]


def known_positives(
    candidate_ids: tf.Tensor,
) -> Callable[[tf.RaggedTensor], tf.Tensor]:
    """Makes a function that marks the candidates which a query already has.

    Args:
      candidate_ids: ids of the candidates, `[num_candidates]`, repeats allowed.

    Returns:
      A function from the ids that each query has, `[batch, None]` ragged, to `[batch,
      num_candidates]` bool, True where the query has the candidate.
    """
    unique, columns = tf.unique(candidate_ids)
    rows_of = _row_finder(unique)

    def mask(known: tf.RaggedTensor) -> tf.Tensor:
        numbers = rows_of(known.values)
        present = tf.where(numbers >= 0)[:, 0]
        rows = tf.cast(tf.gather(known.value_rowids(), present), tf.int32)
        pairs = tf.stack([rows, tf.gather(numbers, present)], axis=1)
        shape = tf.stack([tf.cast(known.nrows(), tf.int32), tf.size(unique)])
        hits = tf.scatter_nd(pairs, tf.ones(tf.shape(pairs)[:1], tf.int32), shape)
        return tf.gather(hits > 0, columns, axis=1)

    return mask


def _row_finder(unique: tf.Tensor) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function from ids to their indices in `unique`, -1 for other ids."""
    index = index_ids(unique)
    if not unique.dtype.is_integer:
        return lambda ids: find_rows(index, ids)
    # Small numbers, as vocabularies give them, are looked up in a table.
    smallest, largest = tf.reduce_min(index.keys), tf.reduce_max(index.keys)
    small = (smallest >= 0) & (largest < _TABLE)
    size = tf.maximum(tf.where(small, largest + 1, 1), 1)  # no candidate, no largest
    entries = tf.where(small, tf.size(unique), 0)
    table = tf.tensor_scatter_nd_update(
        tf.fill([size], -1), unique[:entries, None], tf.range(entries)
    )

    def look_up(ids: tf.Tensor) -> tf.Tensor:
        ids = comparable(ids, unique.dtype)
        found = tf.gather(table, tf.clip_by_value(ids, 0, size - 1))
        return tf.where((ids >= 0) & (ids < size), found, -1)

    return lambda ids: tf.cond(
        small, lambda: look_up(ids), lambda: find_rows(index, ids)
    )
