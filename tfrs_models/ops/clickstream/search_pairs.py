"""All pairs of all searches of a batch at once."""

from typing import NamedTuple

import tensorflow as tf

from tfrs_models.ops.clickstream.pair_features import (
    FineTuningFeatures,
    concat_features,
    in_band,
)
from tfrs_models.ops.clickstream.search_objects import cross_pairs


class RankedResults(NamedTuple):
    """Results of a batch of searches, those of one search after the other.

    Attributes:
      rows: `[num_results]` int64 search of each.
      ranks: `[num_results]` float32, of their objects.
      confidences: `[num_results]` float32, of their objects.
      is_event: `[num_results]` bool.
    """

    rows: tf.Tensor
    ranks: tf.Tensor
    confidences: tf.Tensor
    is_event: tf.Tensor

    def where(self, mask: tf.Tensor) -> "RankedResults":
        """Some of them."""
        return RankedResults(*(tf.boolean_mask(column, mask) for column in self))


class RowPairs(NamedTuple):
    """Pairs, with the search of each.

    Attributes:
      features: The pairs.
      rows: `[num_pairs]` int64.
    """

    features: FineTuningFeatures
    rows: tf.Tensor

    def within(self, band: tuple[float, float]) -> "RowPairs":
        """Those whose ranks differ by more than the first and less than the second."""
        kept = in_band(self.features, *band)
        columns = [tf.boolean_mask(column, kept) for column in self.features]
        return RowPairs(FineTuningFeatures(*columns), tf.boolean_mask(self.rows, kept))


def search_pairs(
    results: RankedResults,
    irrelevant: RankedResults | None,
    num_rows: tf.Tensor,
    *,
    target: float,
    band: tuple[float, float],
    irrelevant_pairing: str,
) -> tuple[FineTuningFeatures, FineTuningFeatures]:
    """Pairs of events with what was not clicked, in the order of the searches.

    Args:
      results: Of searches with a click.
      irrelevant: Of the searches without one that these are paired with, or None.
      num_rows: Scalar int64, the searches.
      target: 1 where a larger rank is better, else -1.
      band: Differences of ranks that a pair must be between.
      irrelevant_pairing: "truncate" or "cross", see `layers.FeaturesExtractor`.

    Returns:
      The pairs within the band, and all that were formed.
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
        # As in the original what is truncated does not have to be in the band.
        others = more = _truncated(pairs, irrelevant, num_rows)
    return _merged(pairs, more), concat_features(formed.features, others.features)


def _merged(pairs: RowPairs, more: RowPairs) -> FineTuningFeatures:
    """Both, in the order of the searches."""
    order = tf.argsort(tf.concat([pairs.rows, more.rows], axis=0), stable=True)
    columns = concat_features(pairs.features, more.features)
    return FineTuningFeatures(*(tf.gather(column, order) for column in columns))


def _crossed(
    events: RankedResults, others: RankedResults, num_rows: tf.Tensor, target: float
) -> RowPairs:
    """Every event with every other result of its search."""
    pairs = cross_pairs(events.rows, others.rows, num_rows)
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
    """The first pairs of a search with the first of the results it is paired with."""
    starts, counts = zip(
        *(_places(rows, num_rows) for rows in (pairs.rows, others.rows)), strict=True
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


def _places(rows: tf.Tensor, num_rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Where each row begins and how long it is."""
    counts = tf.math.unsorted_segment_sum(tf.ones_like(rows), rows, num_rows)
    return tf.cumsum(counts, exclusive=True), counts
