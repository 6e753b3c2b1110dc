"""Boolean masks over the columns of a batch's score matrix."""

import tensorflow as tf

from tfrs_models.ops.lookup import find_rows, index_ids

_BUCKETS = 1 << 16


def positive_columns(labels: tf.Tensor) -> tf.Tensor:
    """The column of each row's one positive.

    Args:
      labels: `[batch, num_candidates]` one-hot labels; a replica that got no rows has
        no columns either, and no `argmax`.

    Returns:
      `[batch]` int32.
    """
    first = tf.math.top_k(labels, k=tf.minimum(1, tf.shape(labels)[1])).indices
    return tf.reshape(first, [-1])


def same_item_mask(positive_ids: tf.Tensor, candidate_ids: tf.Tensor) -> tf.Tensor:
    """Says which candidates are the item that is a row's positive.

    Args:
      positive_ids: `[batch]` ids.
      candidate_ids: `[num_candidates]` ids.

    Returns:
      `[batch, num_candidates]` bool, True for the positive itself too.
    """
    if candidate_ids.dtype == tf.string:  # numbers compare faster
        batch = tf.size(positive_ids)
        numbers = item_numbers(tf.concat([positive_ids, candidate_ids], axis=0))
        positive_ids, candidate_ids = numbers[:batch], numbers[batch:]
    return tf.equal(positive_ids[:, None], candidate_ids[None, :])


def item_numbers(ids: tf.Tensor) -> tf.Tensor:
    """Small numbers that are equal where the ids are.

    Args:
      ids: `[n]` ids of any dtype.

    Returns:
      `[n]` int32 below `n`.
    """
    return tf.unique(ids)[1]


def known_positives_mask(
    candidate_ids: tf.Tensor, known_positives: tf.RaggedTensor
) -> tf.Tensor:
    """Says which candidates are among the ids that a row already has.

    Args:
      candidate_ids: `[num_candidates]` ids, repeats allowed.
      known_positives: `[batch, None]` ragged ids per query.

    Returns:
      `[batch, num_candidates]` bool, True where the candidate is known.
    """
    unique, columns = tf.unique(candidate_ids)
    ids = known_positives.values
    places = _perhaps_among(ids, unique)
    found = find_rows(index_ids(unique), tf.gather(ids, places))
    places = tf.boolean_mask(places, found >= 0)
    found = tf.boolean_mask(found, found >= 0)
    rows = tf.searchsorted(known_positives.row_splits[1:], places, side="right")
    shape = tf.stack([tf.cast(known_positives.nrows(), tf.int32), tf.size(unique)])
    hits = tf.scatter_nd(tf.stack([rows, found], axis=1), tf.ones_like(rows), shape)
    return tf.gather(hits > 0, columns, axis=1)


def _perhaps_among(ids: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
    """Places of all integer ids that are wanted, and of a few that are not.

    Most of what users have is not in a batch, and a bucket is looked up faster than a
    sorted list is searched.
    """
    if not (ids.dtype.is_integer and wanted.dtype.is_integer):
        return tf.range(tf.size(ids, tf.int64))

    def buckets(values: tf.Tensor) -> tf.Tensor:
        return tf.bitwise.bitwise_and(tf.cast(values, tf.int64), _BUCKETS - 1)

    wanted = buckets(wanted)
    marks = tf.scatter_nd(wanted[:, None], tf.ones_like(wanted), [_BUCKETS])
    return tf.where(tf.gather(marks, buckets(ids)) > 0)[:, 0]
