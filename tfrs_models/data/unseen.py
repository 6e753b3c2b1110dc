"""Items that a user never had, drawn as often as training shows them."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf


def unseen_sampler(
    counts: np.ndarray, group: np.ndarray, item: np.ndarray
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """A function that turns uniform numbers into items that a group never had.

    Item `j` is drawn with a chance in proportion to `counts[j]` among the items that
    the group has not had: exactly, by the inverse of the cumulative counts, so that a
    group that had almost everything takes no longer than another.

    Lay the items that a group has not had end to end, each as long as its count. An own
    item `j` stands between them at `C_j - S_j`: the counts of all items before it less
    those of own items before it. A draw steps over the own items that stand at it or
    before it, and then is a place among all items.

    Args:
      counts: `[num_items + 1]` int64, how often each item occurs in training.
      group: `[num_pairs]` non-negative groups, not necessarily all.
      item: `[num_pairs]` an item that the group had; pairs may repeat.

    Returns:
      A function of `[batch]` int64 groups and `[batch, n]` float64 numbers in [0, 1) to
      `[batch, n]` int64 items; 0 where the group had all that training shows.
    """
    counts = counts.astype(np.int64)
    num_items, total = len(counts), int(counts.sum())
    before = np.cumsum(counts) - counts
    group, item = np.divmod(np.unique(group * num_items + item), num_items)
    own = np.concatenate([[0], np.cumsum(counts[item])])
    first = np.searchsorted(group, group)
    place = before[item] - (own[:-1] - own[first])
    # Groups one after the other, `total + 1` apart, are searched as one sorted list.
    places = tf.constant(group * (total + 1) + place)
    own_counts, ends = tf.constant(own), tf.constant(before + counts)
    starts = tf.constant(group)

    def sample(groups: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
        groups = groups[:, None]
        begin = tf.gather(own_counts, _search(starts, groups, tf.raw_ops.LowerBound))
        left = total - (tf.gather(own_counts, _search(starts, groups)) - begin)
        draw = tf.floor(uniform * tf.cast(left, uniform.dtype))
        draw = tf.cast(draw, tf.int64)  # [batch, n]
        passed = _search(places, groups * (total + 1) + draw)
        found = _search(ends, draw + tf.gather(own_counts, passed) - begin)
        return tf.where(left > 0, found, 0)

    return sample


def _search(
    ascending: tf.Tensor, values: tf.Tensor, bound: Callable = tf.raw_ops.UpperBound
) -> tf.Tensor:
    """How many numbers are at most each value; with `LowerBound`, below it."""
    # `tf.searchsorted` fails where there is no value at all: no draw for any row.
    found = bound(
        sorted_inputs=ascending[None],
        values=tf.reshape(values, [1, -1]),
        out_type=tf.int64,
    )
    return tf.reshape(found, tf.shape(values))
