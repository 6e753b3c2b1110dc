"""Ranks of the results of searches, with one call of each tower."""

import inspect
from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from tfrs_models.ops.clickstream.pair_features import FineTuningFeatures
from tfrs_models.ops.clickstream.search_objects import SearchObjects


class Ranks(NamedTuple):
    """Ranks of the results by which a shift is measured, one row for each search.

    Attributes:
      old: `[batch, (num_results)]` float32, as they were stored.
      new: `[batch, (num_results)]` float32, by the towers as they are.
    """

    old: tf.RaggedTensor
    new: tf.RaggedTensor


class Extraction(NamedTuple):
    """What a batch of searches gives.

    Attributes:
      features: The pairs within the band.
      formed: All pairs.
      clicked: Ranks of what was clicked.
      irrelevant: Ranks of all results of the searches without a click; None where these
        were not looked at.
    """

    features: FineTuningFeatures
    formed: FineTuningFeatures
    clicked: Ranks
    irrelevant: Ranks | None


def negatives(
    search: dict, owner: SearchObjects, *, factor: float, min_groups: int
) -> tf.Tensor:
    """Which results are of objects without a click that are among the first drawn.

    Args:
      search: Ragged columns of searches, with `places`, a random order of the objects
        without a click, where the factor is below 1; or with `kept`, bool, the results
        that may be negatives.
      owner: Their objects.
      factor: Share of the objects that is kept, rounded down.
      min_groups: Objects that are kept at least.

    Returns:
      `[num_results]` bool.

    Raises:
      ValueError: neither `places` nor `kept`, where one is needed.
    """
    free = ~tf.gather(owner.has_click, owner.number)
    if "kept" in search:
        return free & search["kept"].values
    if factor == 1:
        return free
    if "places" not in search:
        raise ValueError(
            f"A batch must have a column `places`, or `kept`, where training draws a "
            f"share of {factor} of the negatives. Got {sorted(search)}. "
            "`data.clickstream.click_batches` makes `places`."
        )
    candidates = tf.math.unsorted_segment_sum(
        tf.cast(~owner.has_click, tf.float64), owner.row, search["items"].nrows()
    )
    count = tf.floor(tf.constant(factor, tf.float64) * candidates)
    least = tf.minimum(tf.constant(min_groups, tf.float64), candidates)
    count = tf.cast(tf.maximum(count, least), tf.int32)
    places = tf.cast(search["places"].values, tf.int32)
    return free & (places < tf.gather(count, search["items"].value_rowids()))


def rank_results(
    searches: Sequence[dict],
    picked: Sequence[tf.Tensor],
    *,
    query_tower: tf.keras.layers.Layer,
    item_tower: tf.keras.layers.Layer,
    item_inputs: Callable[[tf.Tensor], object],
    rank: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    training: bool,
) -> list[tf.Tensor]:
    """Ranks of some results; an item that several searches show is embedded once.

    Args:
      searches: Batches of searches, `query` and ragged `items` of each.
      picked: Of each, `[num_results]` bool, the results to be ranked.
      query_tower: From the queries to `[batch, embedding_dim]`.
      item_tower: From items to `[num_items, embedding_dim]`.
      item_inputs: From rows of items to what the item tower takes.
      rank: From queries and items, `[n, embedding_dim]` each, to ranks `[n]`.
      training: Passed on to towers that know of it.

    Returns:
      Of each, `[num_picked]` float32.
    """
    rows = [
        tf.boolean_mask(search["items"].values, mask)
        for search, mask in zip(searches, picked, strict=True)
    ]
    unique, place = tf.unique(tf.concat(rows, axis=0))
    items = _embed(item_tower, item_inputs(unique), training)
    queries = tf.nest.map_structure(
        lambda *sides: tf.concat(sides, axis=0), *(s["query"] for s in searches)
    )
    queries = _embed(query_tower, queries, training)
    owners, before = [], tf.zeros([], tf.int64)
    for search, mask in zip(searches, picked, strict=True):
        owners.append(tf.boolean_mask(search["items"].value_rowids(), mask) + before)
        before += search["items"].nrows()
    found = rank(tf.gather(queries, tf.concat(owners, axis=0)), tf.gather(items, place))
    return tf.split(found, [tf.size(side) for side in rows], num=len(rows))


def old_and_new(
    search: dict, picked: tf.Tensor, new: tf.Tensor, *, clicked_only: bool
) -> Ranks:
    """Stored ranks beside new ones.

    Args:
      search: Ragged columns of searches.
      picked: `[num_results]` bool, the results that were ranked.
      new: `[num_picked]` float32.
      clicked_only: Whether to leave out what was not clicked.
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
    return Ranks(
        *(
            tf.RaggedTensor.from_row_lengths(values, lengths, validate=False)
            for values in (tf.cast(old, tf.float32), new)
        )
    )


def no_pairs() -> FineTuningFeatures:
    """What no searches give."""
    return FineTuningFeatures(*(tf.zeros([0]) for _ in FineTuningFeatures._fields))


def no_searches(query: object) -> dict:
    """A batch of no searches.

    Args:
      query: What the query tower takes, `[0, ...]`.
    """
    columns = {"items": tf.int64, "objects": tf.int32, "places": tf.int32}
    columns |= {"clicked": tf.bool, "ranks": tf.float32}
    return {"query": query} | {
        name: tf.RaggedTensor.from_row_splits(
            tf.zeros([0], kind), tf.zeros([1], tf.int64)
        )
        for name, kind in columns.items()
    }


def _embed(tower: tf.keras.layers.Layer, features: object, training: bool) -> tf.Tensor:
    """Any layer may be a tower, also one that does not know of training."""
    known = inspect.signature(tower.call).parameters
    options = {"training": training} if "training" in known else {}
    return tf.cast(tower(features, **options), tf.float32)
