"""Boolean masks over the columns of a batch's score matrix."""

import tensorflow as tf

from tfrs_models.ops.lookup import find_rows, index_ids


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
    rows, ids = known_positives.value_rowids(), known_positives.values
    places = find_rows(index_ids(unique), ids)
    present = places >= 0
    pairs = tf.stack(
        [
            tf.cast(tf.boolean_mask(rows, present), tf.int32),
            tf.boolean_mask(places, present),
        ],
        axis=1,
    )
    shape = tf.stack([tf.cast(known_positives.nrows(), tf.int32), tf.size(unique)])
    hits = tf.scatter_nd(pairs, tf.ones(tf.shape(pairs)[:1], tf.int32), shape)
    return tf.gather(hits > 0, columns, axis=1)
