"""Metrics of ranked lists, exact where scores are tied.

Items of the same score are ranked in a random order: with `ties="expected"` a value is
the exact expectation over all orders of the ties, in closed form. `"pessimistic"` ranks
the worst items of a tie first, `"optimistic"` the best. An item is relevant where its
label is above 0. Labels of -1 are padding.

Reference:
  McSherry and Najork, Computing information retrieval performance measures
  efficiently in the presence of tied scores, ECIR 2008.
"""

import tensorflow as tf

from tfrs_models.ops.lists.discounts import discounts, gains, largest_dcg
from tfrs_models.ops.lists.list_shapes import Lists, read_lists
from tfrs_models.ops.lists.positions import TiedPositions, tied_positions
from tfrs_models.ops.numbers import whole_number
from tfrs_models.ops.ranks.rank_metrics import check_ties


def ndcg(
    labels: tf.Tensor,
    scores: tf.Tensor,
    *,
    k: int | None = None,
    ties: str = "expected",
    mask: tf.Tensor | None = None,
) -> tf.Tensor:
    """Computes the discounted gain of the first `k` over that of the best order.

    The gain of an item is `2^y - 1`, the discount of rank `r` is `1 / log2(r + 1)`.

    Args:
      labels: `[batch, list_size]` relevance, -1 for padding; or a dict of `labels` and
        `mask`.
      scores: `[batch, list_size]` predicted scores.
      k: number of ranks that count; all where None.
      ties: value of tied scores: `"expected"` over a random order, `"pessimistic"` or
        `"optimistic"`.
      mask: `[batch, list_size]` bool, False for padding.

    Returns:
      `[batch]` float32; 0 for a list without a relevant item.

    Raises:
      ValueError: a `k` below 1, an unknown rule of ties, or shapes that differ.
      tf.errors.InvalidArgumentError: a label below 0 that is not -1.

    Example:
      >>> labels = [[0.0, 2.0, 1.0], [1.0, 0.0, -1.0]]  # -1 is padding
      >>> scores = [[0.1, 0.9, 0.5], [0.3, 0.3, 9.0]]  # the second list is a tie
      >>> tm.metrics.ndcg(labels, scores, k=2).numpy().round(3)
      array([1.   , 0.815], dtype=float32)

    Reference:
      Jarvelin and Kekalainen, Cumulated gain-based evaluation of IR techniques, TOIS
      2002.
    """
    lists, standing = _stand(labels, scores, k=k, ties=ties, mask=mask)
    gain = gains(tf.cast(lists.labels, tf.float64))
    of_ranks = discounts(standing.ranks)
    dcg = tf.reduce_sum(gain * standing.mean_over_ties(of_ranks, k), axis=1)
    return _float32(tf.math.divide_no_nan(dcg, largest_dcg(gain, k=k)))


def reciprocal_rank(
    labels: tf.Tensor,
    scores: tf.Tensor,
    *,
    k: int | None = None,
    ties: str = "expected",
    mask: tf.Tensor | None = None,
) -> tf.Tensor:
    """Computes one over the rank of the first relevant item; 0 beyond rank `k`.

    Args:
      labels: `[batch, list_size]`, relevant above 0, -1 for padding; or a dict of
        `labels` and `mask`.
      scores: `[batch, list_size]` predicted scores.
      k: number of ranks that count; all where None.
      ties: value of tied scores: `"expected"` over a random order, `"pessimistic"` or
        `"optimistic"`.
      mask: `[batch, list_size]` bool, False for padding.

    Returns:
      `[batch]` float32; 0 for a list without a relevant item.

    Raises:
      ValueError: a `k` below 1, an unknown rule of ties, or shapes that differ.
      tf.errors.InvalidArgumentError: a label below 0 that is not -1.

    Example:
      >>> labels, scores = [[0, 1, 1], [1, 0, 0]], [[3.0, 2.0, 1.0], [1.0, 1.0, 0.0]]
      >>> tm.metrics.reciprocal_rank(labels, scores).numpy()  # a tie: (1 + 1/2) / 2
      array([0.5 , 0.75], dtype=float32)
    """
    lists, standing = _stand(labels, scores, k=k, ties=ties, mask=mask)
    relevant = lists.labels > 0
    # The highest tie that holds a relevant item: `above` it are none, and of its
    # `size` items `hits` are relevant.
    above = tf.reduce_min(
        tf.where(relevant, standing.above, tf.shape(relevant)[1]), axis=1, keepdims=True
    )
    of_first = relevant & tf.equal(standing.above, above)
    hits = tf.cast(tf.math.count_nonzero(of_first, axis=1, keepdims=True), tf.float64)
    size = tf.where(of_first, standing.size, 0)
    size = tf.cast(tf.reduce_max(tf.pad(size, [[0, 0], [0, 1]]), axis=1), tf.float64)
    size = size[:, None]
    # The chance that the tie's first relevant item is its t-th, for t = 1, 2, ...:
    # `hits / size` for t = 1, and t items are passed over without a hit before t + 1.
    t = standing.ranks[None, :]
    passed = tf.math.divide_no_nan(size - hits - t + 1, size - t)
    chance = tf.math.divide_no_nan(hits, size)
    chance *= tf.math.cumprod(passed, axis=1, exclusive=True)
    rank = tf.cast(above, tf.float64) + t
    value = chance / rank
    if k is not None:
        value = tf.where(rank <= k, value, 0)
    return _float32(tf.reduce_sum(value, axis=1))


def average_precision(
    labels: tf.Tensor,
    scores: tf.Tensor,
    *,
    k: int | None = None,
    ties: str = "expected",
    mask: tf.Tensor | None = None,
) -> tf.Tensor:
    """Computes the mean, over the relevant items, of the precision down to each.

    With `k`, relevant items beyond rank `k` count as 0 and the mean is over as many as
    the first `k` could hold: 1 is within reach.

    Args:
      labels: `[batch, list_size]`, relevant above 0, -1 for padding; or a dict of
        `labels` and `mask`.
      scores: `[batch, list_size]` predicted scores.
      k: number of ranks that count; all where None.
      ties: value of tied scores: `"expected"` over a random order, `"pessimistic"` or
        `"optimistic"`.
      mask: `[batch, list_size]` bool, False for padding.

    Returns:
      `[batch]` float32; 0 for a list without a relevant item.

    Raises:
      ValueError: a `k` below 1, an unknown rule of ties, or shapes that differ.
      tf.errors.InvalidArgumentError: a label below 0 that is not -1.

    Example:
      >>> labels, scores = [[1, 0, 1, 0]], [[4.0, 3.0, 2.0, 1.0]]
      >>> tm.metrics.average_precision(labels, scores).numpy().round(3)
      array([0.833], dtype=float32)
    """
    lists, standing = _stand(labels, scores, k=k, ties=ties, mask=mask)
    relevant = tf.cast(lists.labels > 0, tf.float64)
    above, size = (tf.cast(t, tf.float64) for t in (standing.above, standing.size))
    hits_above, hits = standing.sums_above_and_of_ties(relevant)
    # At position t of its tie an item has (t - 1) `others` relevant ones before it in
    # the tie, in expectation: the precision there is
    # (hits_above + 1 + (t - 1) others) / (above + t), and
    # (t - 1) / (above + t) = 1 - (above + 1) / (above + t).
    others = tf.math.divide_no_nan(hits - 1, size - 1)
    inverse = standing.mean_over_ties(1 / standing.ranks, k)
    within = standing.mean_over_ties(tf.ones_like(standing.ranks), k)
    precision = (hits_above + 1) * inverse + others * (within - (above + 1) * inverse)
    number = tf.reduce_sum(relevant, axis=1)
    if k is not None:
        number = tf.minimum(number, k)
    total = tf.reduce_sum(relevant * precision, axis=1)
    return _float32(tf.math.divide_no_nan(total, number))


def recall(
    labels: tf.Tensor,
    scores: tf.Tensor,
    *,
    k: int,
    ties: str = "expected",
    mask: tf.Tensor | None = None,
) -> tf.Tensor:
    """Computes the share of the relevant items that are among the first `k`.

    Args:
      labels: `[batch, list_size]`, relevant above 0, -1 for padding; or a dict of
        `labels` and `mask`.
      scores: `[batch, list_size]` predicted scores.
      k: number of ranks that count.
      ties: value of tied scores: `"expected"` over a random order, `"pessimistic"` or
        `"optimistic"`.
      mask: `[batch, list_size]` bool, False for padding.

    Returns:
      `[batch]` float32; 0 for a list without a relevant item.

    Raises:
      ValueError: a `k` below 1, an unknown rule of ties, or shapes that differ.
      tf.errors.InvalidArgumentError: a label below 0 that is not -1.

    Example:
      >>> labels, scores = [[1, 0, 1, 0]], [[4.0, 3.0, 2.0, 1.0]]
      >>> tm.metrics.recall(labels, scores, k=2).numpy()
      array([0.5], dtype=float32)
    """
    hits, number = _hits(labels, scores, k=k, ties=ties, mask=mask)
    return _float32(tf.math.divide_no_nan(hits, number))


def precision(
    labels: tf.Tensor,
    scores: tf.Tensor,
    *,
    k: int,
    ties: str = "expected",
    mask: tf.Tensor | None = None,
) -> tf.Tensor:
    """Computes the share of relevant items among the first `k`.

    The ranks that a list of less than `k` items lacks count as irrelevant.

    Args:
      labels: `[batch, list_size]`, relevant above 0, -1 for padding; or a dict of
        `labels` and `mask`.
      scores: `[batch, list_size]` predicted scores.
      k: number of ranks that count.
      ties: value of tied scores: `"expected"` over a random order, `"pessimistic"` or
        `"optimistic"`.
      mask: `[batch, list_size]` bool, False for padding.

    Returns:
      `[batch]` float32; 0 for a list without a relevant item.

    Raises:
      ValueError: a `k` below 1, an unknown rule of ties, or shapes that differ.
      tf.errors.InvalidArgumentError: a label below 0 that is not -1.

    Example:
      >>> labels, scores = [[1, 0, 1, 0]], [[4.0, 3.0, 2.0, 1.0]]
      >>> tm.metrics.precision(labels, scores, k=3).numpy().round(3)
      array([0.667], dtype=float32)
    """
    hits, _ = _hits(labels, scores, k=k, ties=ties, mask=mask)
    return _float32(hits / k)


def check_k(k: int | None) -> int | None:
    """Returns `k`, or raises a `ValueError`."""
    return None if k is None else whole_number("k", k, least=1)


def _stand(
    labels: tf.Tensor,
    scores: tf.Tensor,
    *,
    k: int | None,
    ties: str,
    mask: tf.Tensor | None,
) -> tuple[Lists, TiedPositions]:
    check_k(k)
    check_ties(ties)
    lists = read_lists(labels, scores, mask)
    return lists, tied_positions(lists, ties=ties)


def _hits(
    labels: tf.Tensor,
    scores: tf.Tensor,
    *,
    k: int,
    ties: str,
    mask: tf.Tensor | None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Counts the relevant items among the first `k`, and all, `[batch]` each."""
    lists, standing = _stand(labels, scores, k=k, ties=ties, mask=mask)
    relevant = tf.cast(lists.labels > 0, tf.float64)
    within = standing.mean_over_ties(tf.ones_like(standing.ranks), k)
    return tf.reduce_sum(relevant * within, axis=1), tf.reduce_sum(relevant, axis=1)


def _float32(values: tf.Tensor) -> tf.Tensor:
    return tf.cast(values, tf.float32)
