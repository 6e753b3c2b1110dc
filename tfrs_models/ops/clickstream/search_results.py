"""Results of searches with the ranks and the trust of their objects."""

from collections.abc import Callable

import tensorflow as tf

from tfrs_models.ops.clickstream.aggregation import segment_ranks
from tfrs_models.ops.clickstream.search_objects import SearchObjects
from tfrs_models.ops.clickstream.search_pairs import RankedResults

Confidences = Callable[[tf.RaggedTensor, tf.RaggedTensor], tf.RaggedTensor]


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
    """The picked results, each with what its object has.

    Args:
      search: Ragged columns of searches.
      owner: Their objects.
      picked: `[num_results]` bool, the results that were ranked.
      ranks: `[num_picked]` float32.
      aggregator: From the ranks of an object's parts to its own.
      confidences: From stored ranks and clicks of all objects of a search to trust.
      once: Whether an object is there once, and not with each of its parts.
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
    place = tf.range(tf.size(number))
    first = tf.math.unsorted_segment_min(place, number, owner.total)
    return results.where(tf.equal(tf.gather(first, number), place))


def _stored(
    search: dict, owner: SearchObjects, aggregator: str
) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
    """Stored ranks and clicks of the objects, in the order of their first parts."""
    ranks = tf.cast(search["ranks"].values, tf.float32)
    ranks = segment_ranks(ranks, owner.number, owner.total, aggregator)
    clicks = tf.cast(owner.has_click, tf.float32)
    ranks, clicks = (
        tf.RaggedTensor.from_row_lengths(values, owner.lengths, validate=False)
        for values in (ranks, clicks)
    )
    return ranks, clicks
