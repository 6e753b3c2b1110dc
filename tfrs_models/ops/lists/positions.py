"""Where the items of ranked lists stand, up to the order of tied scores."""

from typing import NamedTuple

import tensorflow as tf

from tfrs_models.ops.lists.list_shapes import Lists


class Standing(NamedTuple):
    """Where items stand, up to the order of the ties.

    Attributes:
      above: `[batch, list_size]` int32, items that stand above an item's tie.
      size: `[batch, list_size]` int32, items of the tie, at least 1.
      order: `[batch, list_size]` int32, the items by place.
      places: `[list_size]` float64, the places 1, 2, ...
    """

    above: tf.Tensor
    size: tf.Tensor
    order: tf.Tensor
    places: tf.Tensor

    def mean_over_ties(self, of_places: tf.Tensor, k: int | None) -> tf.Tensor:
        """`[batch, list_size]` mean, over the places of an item's tie, of a value.

        Args:
          of_places: `[list_size]` the value of each place.
          k: Places beyond have the value 0.
        """
        if k is not None:
            of_places = tf.where(self.places <= k, of_places, 0)
        sums = tf.pad(tf.cumsum(of_places), [[1, 0]])
        total = tf.gather(sums, self.above + self.size) - tf.gather(sums, self.above)
        return total / tf.cast(self.size, total.dtype)

    def sums_above_and_of_ties(self, values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Sums of the items' values above an item's tie, and of its tie.

        Args:
          values: `[batch, list_size]`.
        """
        by_place = tf.gather(values, self.order, batch_dims=1)
        sums = tf.pad(tf.cumsum(by_place, axis=1), [[0, 0], [1, 0]])
        above = tf.gather(sums, self.above, batch_dims=1)
        return above, tf.gather(sums, self.above + self.size, batch_dims=1) - above


def stand(lists: Lists, *, ties: str) -> Standing:
    """Orders lists by descending scores.

    Args:
      lists: Labels and scores.
      ties: `"expected"`: items of equal scores are tied; `"pessimistic"` and
        `"optimistic"`: the worst or the best of them stands first, and none is tied.
    """
    labels, scores, valid = lists
    tf.debugging.Assert(
        ~tf.reduce_any(tf.math.is_nan(scores)),
        ["`scores` must not be NaN: nothing is in order with it."],
    )
    place = places(scores, valid, first=labels if ties == "optimistic" else -labels)
    order = tf.argsort(place)
    if ties != "expected":
        above, size = place - 1, tf.ones_like(place)
    else:
        keys = -tf.maximum(scores, scores.dtype.min)  # what is no item is behind all
        keys = tf.where(valid, keys, float("inf"))
        ascending = tf.gather(keys, order, batch_dims=1)
        above = tf.searchsorted(ascending, keys, side="left")
        size = tf.searchsorted(ascending, keys, side="right") - above
    numbers = tf.range(1, tf.shape(scores)[1] + 1)
    return Standing(above, size, order, tf.cast(numbers, tf.float64))


def places(
    scores: tf.Tensor, valid: tf.Tensor, *, first: tf.Tensor | None = None
) -> tf.Tensor:
    """The place of every item in the order of descending scores, from 1.

    Args:
      scores: `[batch, list_size]`.
      valid: `[batch, list_size]` bool; other places come last.
      first: `[batch, list_size]`, of items with equal scores the largest stands first;
        where None, the one that comes first in the list.

    Returns:
      `[batch, list_size]` int32, each of `1 .. list_size` once.
    """
    scores = tf.maximum(scores, scores.dtype.min)  # what is no item is behind all
    scores = tf.where(valid, scores, -float("inf"))
    if first is None:
        return 1 + _inverse(tf.argsort(scores, direction="DESCENDING"))
    # Two sorts that keep the order of equals are one sort by two keys.
    minor = tf.argsort(first, direction="DESCENDING", stable=True)
    sorted_scores = tf.gather(scores, minor, batch_dims=1)
    major = tf.argsort(sorted_scores, direction="DESCENDING", stable=True)
    return 1 + _inverse(tf.gather(minor, major, batch_dims=1))


def _inverse(order: tf.Tensor) -> tf.Tensor:
    """The inverse of every row's permutation."""
    batch, size = tf.unstack(tf.shape(order))
    rows = tf.broadcast_to(tf.range(batch)[:, None], [batch, size])
    columns = tf.broadcast_to(tf.range(size)[None], [batch, size])
    return tf.scatter_nd(tf.stack([rows, order], axis=2), columns, [batch, size])
