"""Fetches more than is asked for, until enough of it may be answered with."""

from collections.abc import Callable

import tensorflow as tf

from tfrs_models.layers.index.restrictions import Restrictions, is_among, passes
from tfrs_models.layers.index.snapshot import Snapshot

_GROWTH = 4  # times as many candidates and partitions where too few pass


def fetch_enough(
    fetch: Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
    snapshot: Snapshot,
    restrictions: Restrictions,
    allowed: tf.Tensor | None,
    *,
    k: int | tf.Tensor,
    leaves: tuple[int, int],
) -> tuple[tf.Tensor, tf.Tensor]:
    """The first `k` that pass of what is fetched, however much that takes.

    Args:
      fetch: From a number of candidates and of partitions to scores, `-inf` where none
        was found, and slots `[batch, number]`, best first.
      snapshot: what the index holds.
      restrictions: Of the queries.
      allowed: `[batch, None]` slots, the only ones for a query; None for all.
      k: How many.
      leaves: Partitions to begin with, and all that there are.

    Returns:
      Scores and slots `[batch, k]`, the score `-inf` where nothing is left.
    """
    size = tf.maximum(snapshot.num_candidates, k)

    def search(number: tf.Tensor, leaves: tf.Tensor) -> tuple[tf.Tensor, ...]:
        scores, slots = fetch(number, leaves)
        valid = tf.math.is_finite(scores) & passes(snapshot, restrictions.wanted, slots)
        if restrictions.excluded is not None:
            valid &= ~is_among(slots, restrictions.excluded)
        if allowed is not None:
            valid &= is_among(slots, allowed)
        found = tf.math.count_nonzero(valid, axis=1, dtype=tf.int32)
        done = tf.reduce_all(found >= k) | (number >= size)
        # In the order of the fetch, whatever its measure.
        places = -tf.cast(tf.range(number), tf.float32)
        _, places = tf.math.top_k(tf.where(valid, places, -float("inf")), k=k)
        passed = tf.gather(valid, places, batch_dims=1)
        scores = tf.where(
            passed, tf.gather(scores, places, batch_dims=1), -float("inf")
        )
        return done, scores, tf.gather(slots, places, batch_dims=1)

    def search_on(number: tf.Tensor, leaves: tf.Tensor, *_: tf.Tensor) -> tuple:
        # Compared before they are multiplied: they might not fit into their type.
        number = tf.where(number > size // _GROWTH, size, number * _GROWTH)
        leaves = tf.minimum(leaves * _GROWTH, most_leaves)
        return number, leaves, *search(number, leaves)

    widest = 0 if restrictions.excluded is None else tf.shape(restrictions.excluded)[1]
    number = tf.minimum(k + widest, size)
    first_leaves, most_leaves = leaves
    state = (number, tf.constant(first_leaves), *search(number, first_leaves))
    *_, scores, slots = tf.while_loop(
        lambda _, __, done, *___: ~done,
        search_on,
        state,
        shape_invariants=tuple(value.shape for value in state),
    )
    return scores, slots
