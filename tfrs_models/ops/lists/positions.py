"""Positions of the items of ranked lists, up to the order of tied scores."""

from typing import NamedTuple

import tensorflow as tf

from tfrs_models.ops.lists.list_shapes import Lists


class TiedPositions(NamedTuple):
    """Positions of items in their ranked lists, up to the order within ties.

    Attributes:
      above: number of items above an item's tie, `[batch, list_size]` int32.
      size: number of items of an item's tie, at least 1, `[batch, list_size]` int32.
      order: indices of the items by descending score, `[batch, list_size]` int32.
      ranks: the numbers 1, 2, ... of the positions, `[list_size]` float64.
    """

    above: tf.Tensor
    size: tf.Tensor
    order: tf.Tensor
    ranks: tf.Tensor

    def mean_over_ties(self, of_ranks: tf.Tensor, k: int | None) -> tf.Tensor:
        """Computes the mean of a value over the positions of each item's tie.

        Args:
          of_ranks: value of each position, `[list_size]`.
          k: number of positions that count; the value of later ones is 0.

        Returns:
          `[batch, list_size]`.
        """
        if k is not None:
            of_ranks = tf.where(self.ranks <= k, of_ranks, 0)
        sums = tf.pad(tf.cumsum(of_ranks), [[1, 0]])
        total = tf.gather(sums, self.above + self.size) - tf.gather(sums, self.above)
        return total / tf.cast(self.size, total.dtype)

    def sums_above_and_of_ties(self, values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Sums a value of the items above each item's tie, and of its tie.

        Args:
          values: value of each item, `[batch, list_size]`.

        Returns:
          The sums above and the sums of the ties, `[batch, list_size]` each.
        """
        by_rank = tf.gather(values, self.order, batch_dims=1)
        sums = tf.pad(tf.cumsum(by_rank, axis=1), [[0, 0], [1, 0]])
        above = tf.gather(sums, self.above, batch_dims=1)
        return above, tf.gather(sums, self.above + self.size, batch_dims=1) - above


def tied_positions(lists: Lists, *, ties: str) -> TiedPositions:
    """Orders lists by descending scores.

    Args:
      lists: labels and scores.
      ties: `"expected"`: items of equal scores are tied; `"pessimistic"` and
        `"optimistic"`: of equal scores the smallest or the largest label comes first,
        and nothing is tied.

    Returns:
      The positions of the items.
    """
    labels, scores, valid = lists
    tf.debugging.Assert(
        ~tf.reduce_any(tf.math.is_nan(scores)),
        ["`scores` must not be NaN: nothing is in order with it."],
    )
    rank = _ranks(scores, valid, first=labels if ties == "optimistic" else -labels)
    order = tf.argsort(rank)
    if ties != "expected":
        above, size = rank - 1, tf.ones_like(rank)
    else:
        keys = -tf.maximum(scores, scores.dtype.min)  # padding sorts behind all items
        keys = tf.where(valid, keys, float("inf"))
        ascending = tf.gather(keys, order, batch_dims=1)
        above = tf.searchsorted(ascending, keys, side="left")
        size = tf.searchsorted(ascending, keys, side="right") - above
    numbers = tf.range(1, tf.shape(scores)[1] + 1)
    return TiedPositions(above, size, order, tf.cast(numbers, tf.float64))


def _ranks(scores: tf.Tensor, valid: tf.Tensor, *, first: tf.Tensor) -> tf.Tensor:
    """Ranks items by descending score, from 1; padding comes last.

    Args:
      scores: predicted scores, `[batch, list_size]`.
      valid: True where there is an item, `[batch, list_size]` bool.
      first: second key, `[batch, list_size]`: of equal scores the item with the
        largest value comes first.

    Returns:
      `[batch, list_size]` int32, each of `1 .. list_size` once.
    """
    scores = tf.maximum(scores, scores.dtype.min)  # padding sorts behind all items
    scores = tf.where(valid, scores, -float("inf"))
    # Two sorts that keep the order of equals are one sort by two keys.
    minor = tf.argsort(first, direction="DESCENDING", stable=True)
    sorted_scores = tf.gather(scores, minor, batch_dims=1)
    major = tf.argsort(sorted_scores, direction="DESCENDING", stable=True)
    return 1 + _inverse(tf.gather(minor, major, batch_dims=1))


def _inverse(order: tf.Tensor) -> tf.Tensor:
    """Inverts every row's permutation."""
    batch, size = tf.unstack(tf.shape(order))
    rows = tf.broadcast_to(tf.range(batch)[:, None], [batch, size])
    columns = tf.broadcast_to(tf.range(size)[None], [batch, size])
    return tf.scatter_nd(tf.stack([rows, order], axis=2), columns, [batch, size])
