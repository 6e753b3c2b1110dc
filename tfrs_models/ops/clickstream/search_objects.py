"""The objects that the results of a batch of searches are parts of."""

from typing import NamedTuple

import tensorflow as tf


class SearchObjects(NamedTuple):
    """Objects of all searches of a batch, numbered through.

    Attributes:
      number: `[num_results]` int64 object of each result.
      row: `[num_objects]` int64 search of each object.
      lengths: `[batch]` int64 objects of each search.
      has_click: `[num_objects]` bool, whether a part was clicked.
    """

    number: tf.Tensor
    row: tf.Tensor
    lengths: tf.Tensor
    has_click: tf.Tensor

    @property
    def total(self) -> tf.Tensor:
        """Scalar int64, how many there are."""
        return tf.reduce_sum(self.lengths)

    @property
    def starts(self) -> tf.Tensor:
        """`[batch]` int64 number of the first object of each search."""
        return tf.cumsum(self.lengths, exclusive=True)


def search_objects(objects: tf.RaggedTensor, clicked: tf.RaggedTensor) -> SearchObjects:
    """Numbers the objects of a batch.

    Args:
      objects: `[batch, (num_results)]` integers, counted from 0 in each search.
      clicked: `[batch, (num_results)]` bool.
    """
    row = objects.value_rowids()
    within = tf.cast(objects.values, tf.int64)
    last = tf.math.segment_max(within, row)  # what it says of no results is not read
    missing = tf.fill(
        [objects.nrows() - tf.size(last, tf.int64)], tf.zeros([], tf.int64)
    )
    counts = tf.concat([last + 1, missing], axis=0)
    lengths = tf.where(objects.row_lengths() > 0, counts, tf.zeros_like(counts))
    starts = tf.cumsum(lengths, exclusive=True)
    number = tf.gather(starts, row) + within
    total = tf.reduce_sum(lengths)
    splits = tf.concat([starts, [total]], axis=0)
    has_click = tf.math.unsorted_segment_max(
        tf.cast(clicked.values, tf.int32), number, total
    )
    return SearchObjects(
        number,
        tf.ragged.row_splits_to_segment_ids(splits, out_type=tf.int64),
        lengths,
        has_click > 0,
    )


def draw_order(
    objects: tf.RaggedTensor, clicked: tf.RaggedTensor, seed: tf.Tensor
) -> tf.RaggedTensor:
    """A random order of the objects without a click of each search.

    Whoever keeps the first `k` of them has drawn `k` without replacement.

    Args:
      objects: `[batch, (num_results)]` integers from 0, the object of each result.
      clicked: `[batch, (num_results)]` bool.
      seed: `[2]` integers.

    Returns:
      `[batch, (num_results)]` int32, the place of the object of each result; objects
      with a click stand behind all others.
    """
    found = search_objects(objects, clicked)
    draw = tf.random.stateless_uniform([found.total], seed, dtype=tf.float64)
    key = 2.0 * tf.cast(found.row, tf.float64) + draw
    key += tf.cast(found.has_click, tf.float64)
    place = tf.cast(tf.argsort(tf.argsort(key)), tf.int64)
    place -= tf.gather(found.starts, found.row)
    return objects.with_values(tf.cast(tf.gather(place, found.number), tf.int32))


def cross_pairs(
    left_rows: tf.Tensor, right_rows: tf.Tensor, num_rows: tf.Tensor
) -> tf.RaggedTensor:
    """Every element of the left with every one of the right in the same row.

    Args:
      left_rows: `[num_left]` int64 rows, ascending.
      right_rows: `[num_right]` int64 rows, ascending.
      num_rows: Scalar int64.

    Returns:
      `[num_left, (num_pairs)]` int64 places on the right.
    """
    ones = tf.ones_like(right_rows)
    counts = tf.math.unsorted_segment_sum(ones, right_rows, num_rows)
    starts = tf.gather(tf.cumsum(counts, exclusive=True), left_rows)
    return tf.ragged.range(starts, starts + tf.gather(counts, left_rows))
