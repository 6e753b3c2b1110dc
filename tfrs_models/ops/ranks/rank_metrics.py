"""Ranking metrics of a single positive in closed form, exact under ties.

Each function takes `above`, the number of candidates that score higher than the
positive, and `tied`, the number of others that score the same, both `[batch]` int32.
With `e = tied + 1` the positive has one of the ranks `above + 1 .. above + e`, each
equally likely in a random order of the ties: the value is the expectation over them.

Reference:
  McSherry and Najork, Computing information retrieval performance measures
  efficiently in the presence of tied scores, ECIR 2008.
"""

import tensorflow as tf

from tfrs_models.ops.lists.discounts import discounts

TIES = ("expected", "pessimistic", "optimistic")


def resolve_ties(
    above: tf.Tensor, tied: tf.Tensor, *, ties: str
) -> tuple[tf.Tensor, tf.Tensor]:
    """Puts the positive last (`"pessimistic"`) or first (`"optimistic"`) of its ties.

    Args:
      above: number of candidates above the positive, `[batch]`.
      tied: number of other candidates with its score, `[batch]`.
      ties: `"expected"`, `"pessimistic"` or `"optimistic"`.

    Returns:
      `above` and `tied` of the resolved order; unchanged for `"expected"`.
    """
    check_ties(ties)
    if ties == "pessimistic":
        above = above + tied
    if ties == "expected":
        return above, tied
    return above, tf.zeros_like(tied)


def check_ties(ties: str) -> str:
    """Returns `ties`, or raises a `ValueError` that lists the rules."""
    if ties not in TIES:
        raise ValueError(f"`ties` must be one of {TIES}. Got {ties!r}.")
    return ties


def hit_rate(above: tf.Tensor, tied: tf.Tensor, *, k: int) -> tf.Tensor:
    """Computes the probability that the positive is among the first `k`, `[batch]`."""
    size = tf.cast(tied + 1, tf.float32)
    hits = tf.clip_by_value(k - above, 0, tied + 1)
    return tf.cast(hits, tf.float32) / size


def ndcg(above: tf.Tensor, tied: tf.Tensor, *, k: int) -> tf.Tensor:
    """Computes the expected `1 / log2(rank + 1)`, 0 beyond rank `k`, `[batch]`."""
    discount = discounts(tf.range(1, k + 1, dtype=tf.float64))
    gain = tf.concat([[0.0], tf.cumsum(discount)], axis=0)
    first, last = tf.minimum(above, k), tf.minimum(above + tied + 1, k)
    total = tf.gather(gain, last) - tf.gather(gain, first)
    return tf.cast(total / tf.cast(tied + 1, tf.float64), tf.float32)


def reciprocal_rank(above: tf.Tensor, tied: tf.Tensor) -> tf.Tensor:
    """Computes the expected `1 / rank`, a difference of harmonic numbers, `[batch]`."""
    # float64: the harmonic numbers of a large corpus differ in their last digits only.
    first = tf.cast(above + 1, tf.float64)
    size = tf.cast(tied + 1, tf.float64)
    spread = tf.math.digamma(first + size) - tf.math.digamma(first)
    return tf.cast(tf.where(tf.equal(tied, 0), 1 / first, spread / size), tf.float32)


def auc(above: tf.Tensor, tied: tf.Tensor, num_candidates: tf.Tensor) -> tf.Tensor:
    """Computes the share of candidates below the positive; a tie counts half.

    It is 1 where there is no other candidate: leave those queries out of a mean.

    Args:
      above: number of candidates above the positive, `[batch]`.
      tied: number of other candidates with its score, `[batch]`.
      num_candidates: number of candidates it competes with, `[batch]`.

    Returns:
      `[batch]` float32 in [0, 1].
    """
    lost = tf.cast(above, tf.float32) + tf.cast(tied, tf.float32) / 2
    return 1 - tf.math.divide_no_nan(lost, tf.cast(num_candidates, tf.float32))
