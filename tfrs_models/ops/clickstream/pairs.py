"""Pairs of a clicked and an unclicked result, and how searches form them."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from tfrs_models.ops.clickstream.packing import SearchObjects
from tfrs_models.ops.clickstream.scores import segment_ranks

Confidences = Callable[[tf.RaggedTensor, tf.RaggedTensor], tf.RaggedTensor]


class FineTuningFeatures(NamedTuple):
    """Columns that the loss compares: one row for each (positive, negative) pair.

    A column that is None is absent.

    Attributes:
      positive_ranks: `[num_pairs]` float32 scores of the clicked results.
      negative_ranks: `[num_pairs]` float32 scores of the results without a click.
      target: `[num_pairs]` float32, 1 if a larger score is better, -1 if a smaller one
        is.
      positive_confidences: `[num_pairs]` float32 confidences in the clicks.
      negative_confidences: `[num_pairs]` float32 confidences in the missing clicks.

    Example:
      >>> absent = tm.data.clickstream.FineTuningFeatures()
      >>> absent.positive_ranks is None
      True
    """

    positive_ranks: tf.Tensor | None = None
    negative_ranks: tf.Tensor | None = None
    target: tf.Tensor | None = None
    positive_confidences: tf.Tensor | None = None
    negative_confidences: tf.Tensor | None = None


def make_features(
    positive_ranks: tf.Tensor | None = None,
    negative_ranks: tf.Tensor | None = None,
    target: tf.Tensor | None = None,
    positive_confidences: tf.Tensor | None = None,
    negative_confidences: tf.Tensor | None = None,
) -> FineTuningFeatures:
    """Makes checked features; a column that is not given stays absent.

    Args:
      positive_ranks: `[num_pairs]` scores of the clicked results.
      negative_ranks: `[num_pairs]` scores of the results without a click.
      target: `[num_pairs]`, 1 if a larger score is better, -1 if a smaller one is.
      positive_confidences: `[num_pairs]` confidences in the clicks.
      negative_confidences: `[num_pairs]` confidences in the missing clicks.

    Returns:
      The columns in float32.

    Raises:
      TypeError: a column that is not made of numbers.
      ValueError: a column that is not `[num_pairs]`, or columns of different lengths.

    Example:
      >>> pairs = tm.data.clickstream.make_features([0.9, 0.9], [0.2, 0.4], [1, 1])
      >>> pairs.target.numpy(), pairs.positive_confidences
      (array([1., 1.], dtype=float32), None)
    """
    given = FineTuningFeatures(
        positive_ranks,
        negative_ranks,
        target,
        positive_confidences,
        negative_confidences,
    )
    columns = {
        name: _column(name, values)
        for name, values in given._asdict().items()
        if values is not None
    }
    lengths = {name: values.shape[0] for name, values in columns.items()}
    if len({length for length in lengths.values() if length is not None}) > 1:
        raise ValueError(f"Columns of pairs must be equally long. Got {lengths}.")
    return FineTuningFeatures(**columns)


def no_pairs() -> FineTuningFeatures:
    """Makes features of zero pairs."""
    return FineTuningFeatures(*(tf.zeros([0]) for _ in FineTuningFeatures._fields))


def concat_features(
    a: FineTuningFeatures | None, b: FineTuningFeatures | None
) -> FineTuningFeatures:
    """Concatenates the rows of two sets of pairs; absent columns contribute nothing.

    Args:
      a: pairs that come first, or None.
      b: pairs that come second, or None.

    Returns:
      The pairs of both.

    Example:
      >>> first = tm.data.clickstream.make_features(negative_ranks=[0.1])
      >>> second = tm.data.clickstream.make_features(negative_ranks=[0.2, 0.3])
      >>> both = tm.data.clickstream.concat_features(first, second)
      >>> both.negative_ranks.numpy()
      array([0.1, 0.2, 0.3], dtype=float32)
    """
    sides = [f for f in (a, b) if f is not None and any(c is not None for c in f)]
    if len(sides) < 2:
        return sides[0] if sides else FineTuningFeatures()
    return FineTuningFeatures(
        *(
            tf.concat([c for c in columns if c is not None], axis=0)
            if any(c is not None for c in columns)
            else None
            for columns in zip(*sides, strict=True)
        )
    )


def clamp_diff(f: FineTuningFeatures, lo: float, hi: float) -> FineTuningFeatures:
    """Drops the pairs outside the band `lo < |positive - negative| < hi`.

    Args:
      f: pairs; returned unchanged if their positive or negative scores are absent.
      lo: lower bound of the difference of two scores; a pair at the bound is dropped.
      hi: upper bound of the difference of two scores; a pair at the bound is dropped.

    Returns:
      The pairs within the band.

    Raises:
      ValueError: bounds between which there is no difference.

    Example:
      >>> pairs = tm.data.clickstream.make_features([0.9, 0.9], [0.89, 0.4])
      >>> band = tm.data.clickstream.clamp_diff(pairs, 0.1, 1.0)
      >>> band.negative_ranks.numpy()
      array([0.4], dtype=float32)
    """
    check_band(lo, hi)
    if f.positive_ranks is None or f.negative_ranks is None:
        return f
    mask = in_band(f, lo, hi)
    return FineTuningFeatures(
        *(None if column is None else tf.boolean_mask(column, mask) for column in f)
    )


def in_band(f: FineTuningFeatures, lo: float, hi: float) -> tf.Tensor:
    """Marks the pairs within the band of `clamp_diff`, `[num_pairs]` bool."""
    difference = tf.abs(f.positive_ranks - f.negative_ranks)
    return (difference > lo) & (difference < hi)


def check_band(lo: float, hi: float) -> None:
    """Raises `ValueError` if no difference lies between the thresholds."""
    if not lo >= 0:
        raise ValueError(
            f"`min_abs_difference_threshold` must not be negative. Got {lo}."
        )
    if not hi > 0:
        raise ValueError(f"`max_abs_difference_threshold` must be above 0. Got {hi}.")
    if not lo < hi:
        raise ValueError(
            "`min_abs_difference_threshold` must be below "
            f"`max_abs_difference_threshold`: no pair is between them. Got {lo} and "
            f"{hi}."
        )


def use_positive_from(
    irrelevant: FineTuningFeatures, relevant: FineTuningFeatures
) -> FineTuningFeatures:
    """Pairs the negatives of a search without a click with the clicks of another one.

    Args:
      irrelevant: negatives and targets of the search without a click.
      relevant: pairs of the search with a click.

    Returns:
      The first rows of both, as many as the shorter side has.

    Example:
      >>> shown = tm.data.clickstream.make_features(None, [0.3], [1], None, [1])
      >>> pairs = tm.data.clickstream.make_features([0.8, 0.8], [0, 0], [1, 1],
      ...                                           [1, 1], [1, 1])
      >>> mixed = tm.data.clickstream.use_positive_from(shown, pairs)
      >>> mixed.positive_ranks.numpy(), mixed.negative_ranks.numpy()
      (array([0.8], dtype=float32), array([0.3], dtype=float32))
    """
    n = tf.minimum(
        tf.shape(irrelevant.negative_ranks)[0], tf.shape(relevant.positive_ranks)[0]
    )
    return FineTuningFeatures(
        relevant.positive_ranks[:n],
        irrelevant.negative_ranks[:n],
        irrelevant.target[:n],
        relevant.positive_confidences[:n],
        irrelevant.negative_confidences[:n],
    )


class RankedResults(NamedTuple):
    """Scored results of a batch of searches, grouped by search.

    Attributes:
      rows: `[num_results]` int64 search of each result.
      ranks: `[num_results]` float32 scores of their objects.
      confidences: `[num_results]` float32 confidences in their objects.
      is_event: `[num_results]` bool, whether the result was clicked.
    """

    rows: tf.Tensor
    ranks: tf.Tensor
    confidences: tf.Tensor
    is_event: tf.Tensor

    def where(self, mask: tf.Tensor) -> "RankedResults":
        """Returns the results at which the mask is True."""
        return RankedResults(*(tf.boolean_mask(column, mask) for column in self))


def ranked_results(
    search: dict,
    owner: SearchObjects,
    picked: tf.Tensor,
    ranks: tf.Tensor,
    *,
    aggregator: str,
    confidences: Confidences,
    once: bool,
) -> RankedResults:
    """Gives the picked results the scores and confidences of their objects.

    Args:
      search: ragged columns of searches.
      owner: objects of the searches.
      picked: `[num_results]` bool, the results that were scored.
      ranks: `[num_picked]` float32 scores by the towers.
      aggregator: "mean", "max" or "min" over the parts of an object.
      confidences: function from the stored scores and the clicks of all objects, ragged
        `[batch, (num_objects)]`, to their confidences.
      once: whether each object appears once, and not with each of its parts.
    """
    number = tf.boolean_mask(owner.number, picked)
    of_objects = segment_ranks(ranks, number, owner.total, aggregator)
    trust = confidences(*_stored(search, owner, aggregator)).values
    results = RankedResults(
        rows=tf.boolean_mask(search["items"].value_rowids(), picked),
        ranks=tf.gather(of_objects, number),
        confidences=tf.stop_gradient(tf.gather(tf.cast(trust, tf.float32), number)),
        is_event=tf.boolean_mask(search["clicked"].values, picked),
    )
    if not once:
        return results
    position = tf.range(tf.size(number))
    first = tf.math.unsorted_segment_min(position, number, owner.total)
    return results.where(tf.equal(tf.gather(first, number), position))


def _stored(
    search: dict, owner: SearchObjects, aggregator: str
) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
    """Returns stored scores and clicks of objects, in order of their first parts."""
    ranks = tf.cast(search["ranks"].values, tf.float32)
    ranks = segment_ranks(ranks, owner.number, owner.total, aggregator)
    clicks = tf.cast(owner.has_click, tf.float32)
    ranks, clicks = (
        tf.RaggedTensor.from_row_lengths(values, owner.lengths, validate=False)
        for values in (ranks, clicks)
    )
    return ranks, clicks


class RankChange(NamedTuple):
    """Scores of results before and after training, one row for each search.

    Attributes:
      old: `[batch, (num_results)]` float32 stored scores.
      new: `[batch, (num_results)]` float32 scores by the current towers.
    """

    old: tf.RaggedTensor
    new: tf.RaggedTensor


def rank_change(
    search: dict, picked: tf.Tensor, new: tf.Tensor, *, clicked_only: bool
) -> RankChange:
    """Puts stored scores beside new ones.

    Args:
      search: ragged columns of searches.
      picked: `[num_results]` bool, the results that were scored.
      new: `[num_picked]` float32 scores by the current towers.
      clicked_only: whether results without a click are dropped.
    """
    rows, old, clicked = (
        tf.boolean_mask(values, picked)
        for values in (
            search["items"].value_rowids(),
            search["ranks"].values,
            search["clicked"].values,
        )
    )
    chosen = clicked if clicked_only else tf.ones_like(clicked)
    rows, old, new = (tf.boolean_mask(values, chosen) for values in (rows, old, new))
    lengths = tf.math.unsorted_segment_sum(
        tf.ones_like(rows), rows, search["items"].nrows()
    )
    return RankChange(
        *(
            tf.RaggedTensor.from_row_lengths(values, lengths, validate=False)
            for values in (tf.cast(old, tf.float32), new)
        )
    )


class RowPairs(NamedTuple):
    """Pairs, with the search that each belongs to.

    Attributes:
      features: columns of the pairs.
      rows: `[num_pairs]` int64 search of each pair.
    """

    features: FineTuningFeatures
    rows: tf.Tensor

    def within(self, band: tuple[float, float]) -> "RowPairs":
        """Returns the pairs whose difference of scores is strictly within the band."""
        mask = in_band(self.features, *band)
        columns = [tf.boolean_mask(column, mask) for column in self.features]
        return RowPairs(FineTuningFeatures(*columns), tf.boolean_mask(self.rows, mask))


def search_pairs(
    results: RankedResults,
    irrelevant: RankedResults | None,
    num_rows: tf.Tensor,
    *,
    target: float,
    band: tuple[float, float],
    irrelevant_pairing: str,
) -> tuple[FineTuningFeatures, FineTuningFeatures]:
    """Pairs clicked results with results without a click, in the order of the searches.

    Args:
      results: results of searches with a click.
      irrelevant: results of the searches without a click that these are paired with, or
        None.
      num_rows: scalar int64, number of searches.
      target: 1 if a larger score is better, else -1.
      band: lower and upper bound of the difference of the two scores of a pair.
      irrelevant_pairing: "truncate" (at most as many pairs with a search without a
        click as the search itself forms) or "cross" (all of them).

    Returns:
      The pairs within the band, and all pairs that were formed.
    """
    events = results.where(results.is_event)
    formed = _crossed(events, results.where(~results.is_event), num_rows, target)
    pairs = formed.within(band)
    if irrelevant is None:
        return pairs.features, formed.features
    if irrelevant_pairing == "cross":
        others = _crossed(events, irrelevant, num_rows, target)
        more = others.within(band)
    else:
        # As in the original, truncated pairs need not be in the band.
        others = more = _truncated(pairs, irrelevant, num_rows)
    return _merged(pairs, more), concat_features(formed.features, others.features)


def _merged(pairs: RowPairs, more: RowPairs) -> FineTuningFeatures:
    """Merges two sets of pairs, in the order of the searches."""
    order = tf.argsort(tf.concat([pairs.rows, more.rows], axis=0), stable=True)
    columns = concat_features(pairs.features, more.features)
    return FineTuningFeatures(*(tf.gather(column, order) for column in columns))


def _crossed(
    events: RankedResults, others: RankedResults, num_rows: tf.Tensor, target: float
) -> RowPairs:
    """Pairs every clicked result with every other result of its search."""
    starts, counts = _row_bounds(others.rows, num_rows)
    first, count = tf.gather(starts, events.rows), tf.gather(counts, events.rows)
    pairs = tf.ragged.range(first, first + count)
    left, right = pairs.value_rowids(), pairs.values
    features = FineTuningFeatures(
        tf.gather(events.ranks, left),
        tf.gather(others.ranks, right),
        tf.fill([tf.size(left)], target),
        tf.gather(events.confidences, left),
        tf.gather(others.confidences, right),
    )
    return RowPairs(features, tf.gather(events.rows, left))


def _truncated(pairs: RowPairs, others: RankedResults, num_rows: tf.Tensor) -> RowPairs:
    """Pairs the first positives of a search with the first results of the other one."""
    starts, counts = zip(
        *(_row_bounds(rows, num_rows) for rows in (pairs.rows, others.rows)),
        strict=True,
    )
    count = tf.minimum(*counts)
    left, right = (tf.ragged.range(start, start + count) for start in starts)
    features = FineTuningFeatures(
        tf.gather(pairs.features.positive_ranks, left.values),
        tf.gather(others.ranks, right.values),
        tf.gather(pairs.features.target, left.values),
        tf.gather(pairs.features.positive_confidences, left.values),
        tf.gather(others.confidences, right.values),
    )
    return RowPairs(features, left.value_rowids())


def _row_bounds(rows: tf.Tensor, num_rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the first index and the length of each row of ascending row numbers."""
    counts = tf.math.unsorted_segment_sum(tf.ones_like(rows), rows, num_rows)
    return tf.cumsum(counts, exclusive=True), counts


def _column(name: str, values: object) -> tf.Tensor:
    try:
        values = tf.convert_to_tensor(values)
    except (TypeError, ValueError) as error:
        raise TypeError(f"`{name}` must be numbers. Got {values!r}.") from error
    if not (values.dtype.is_floating or values.dtype.is_integer):
        raise TypeError(f"`{name}` must be numbers. Got {values.dtype.name}.")
    if values.shape.rank != 1:
        raise ValueError(f"`{name}` must be [num_pairs]. Got shape {values.shape}.")
    return tf.cast(values, tf.float32)
