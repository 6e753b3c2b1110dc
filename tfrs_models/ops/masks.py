"""Boolean masks over the columns of a batch's score matrix."""

from collections.abc import Callable

import tensorflow as tf

from tfrs_models.ops.ranks.lookup import comparable, find_rows, index_ids

_TABLE = 2**20  # ids below it are looked up in a table of 4 MB


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


def known_positives(
    candidate_ids: tf.Tensor,
) -> Callable[[tf.RaggedTensor], tf.Tensor]:
    """Prepares to say which candidates are among the ids that a row already has.

    Args:
      candidate_ids: `[num_candidates]` ids, repeats allowed.

    Returns:
      A function from ragged ids per query, `[batch, None]`, to `[batch,
      num_candidates]` bool, True where the candidate is known.
    """
    unique, columns = tf.unique(candidate_ids)
    places_of = _places(unique)

    def mask(known: tf.RaggedTensor) -> tf.Tensor:
        places = places_of(known.values)
        present = tf.where(places >= 0)[:, 0]
        rows = tf.cast(tf.gather(known.value_rowids(), present), tf.int32)
        pairs = tf.stack([rows, tf.gather(places, present)], axis=1)
        shape = tf.stack([tf.cast(known.nrows(), tf.int32), tf.size(unique)])
        hits = tf.scatter_nd(pairs, tf.ones(tf.shape(pairs)[:1], tf.int32), shape)
        return tf.gather(hits > 0, columns, axis=1)

    return mask


def _places(unique: tf.Tensor) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function from ids to their places in `unique`, -1 for others."""
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


def masked_softmax(scores: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Softmax over the last axis, in float32.

    Args:
      scores: `[..., n]`.
      mask: bool, of a shape that broadcasts to that of the scores.

    Returns:
      `[..., n]` of the dtype of the scores: 0 where the mask is False, and rows that
      sum to 1, or to 0 where the mask lets in nothing.
    """
    logits = tf.where(mask, tf.cast(scores, tf.float32), tf.float32.min)
    weights = tf.where(mask, tf.nn.softmax(logits), 0.0)
    return tf.cast(weights, scores.dtype)


def masked_mean(values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Mean over the last but one axis.

    Args:
      values: `[..., n, width]`.
      mask: `[..., n]` bool.

    Returns:
      `[..., width]`; 0 where the mask lets in nothing.
    """
    total = tf.reduce_sum(tf.where(mask[..., None], values, 0), axis=-2)
    count = tf.math.count_nonzero(mask, axis=-1, keepdims=True, dtype=values.dtype)
    return tf.math.divide_no_nan(total, count)
