"""Searches as ragged integer tensors, and the objects that their results belong to."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import tensorflow as tf


class Search(Protocol):
    """The part of `data.clickstream.FineTuningInput` that packing reads."""

    query: object
    events: Sequence[str]
    results: Sequence[str]
    ranks: Mapping[str, float | None]

    def object_of(self, part: str) -> str:
        """Returns the object of a part."""


class Items(Protocol):
    """The part of `data.clickstream.ItemSet` that packing reads."""

    def rows(self, ids: Sequence[str]) -> Sequence[int]:
        """Returns the rows of ids."""


def pack_searches(
    searches: Sequence[Search | None],
    items: Items,
    *,
    missing_rank: float | None = None,
) -> dict[str, tf.RaggedTensor]:
    """Packs the results of searches into ragged columns, one row for each search.

    Args:
      searches: the searches; None stands for a search without results.
      items: table in which the ids of results are looked up. An id that owns several
        rows gives several results.
      missing_rank: score that replaces an unknown one; with None an unknown score is an
        error.

    Returns:
      `items`: int64 rows of the items; `objects`: int32 objects of each search, counted
      from 0 in the order of their first part; `clicked`: bool; `ranks`: float32 scores.
      Each is `[batch, (num_results)]`.

    Raises:
      ValueError: a score is unknown.
      IndexError: an id is unknown.
    """
    rows, objects, clicked, ranks, lengths = [], [], [], [], []
    for search in searches:
        before = len(rows)
        if search is not None:
            numbers, events = {}, set(search.events)
            for result in search.results:
                result_rows = items.rows([result])
                count = len(result_rows)
                owner = search.object_of(result)
                number = numbers.setdefault(owner, len(numbers))
                rank = _rank(search, result, missing_rank)
                rows += result_rows
                objects += [number] * count
                clicked += [result in events] * count
                ranks += [rank] * count
        lengths.append(len(rows) - before)
    splits = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    columns = {
        "items": np.array(rows, np.int64),
        "objects": np.array(objects, np.int32),
        "clicked": np.array(clicked, bool),
        "ranks": np.array(ranks, np.float32),
    }
    return {
        name: tf.RaggedTensor.from_row_splits(values, splits, validate=False)
        for name, values in columns.items()
    }


def pack_pairs(
    pairs: Sequence[tuple[Search, Search | None]],
    items: Items,
    *,
    query_features: Callable[[list], object] | None = None,
    missing_rank: float | None = None,
) -> dict:
    """Packs pairs of searches into a batch of `layers.FeaturesExtractor`.

    Args:
      pairs: pairs of a search with a click and a search without one, or None.
      items: table in which the ids of results are looked up.
      query_features: function from a list of queries to the input of the query tower,
        `[batch, ...]`. By default queries are stacked, dicts of features by name.
      missing_rank: score that replaces an unknown one; with None an unknown score is an
        error.

    Returns:
      The columns of `pack_searches`, `query`, and `irrelevant` with the same columns of
      the second searches, if there is one.
    """
    features = query_features or stack_queries

    def pack(searches: Sequence[Search | None], queries: list) -> dict:
        packed = pack_searches(searches, items, missing_rank=missing_rank)
        return packed | {"query": tf.nest.map_structure(tf.constant, features(queries))}

    relevant, others = zip(*pairs, strict=True) if pairs else ((), ())
    batch = pack(relevant, [search.query for search in relevant])
    if any(other is not None for other in others):
        # A row without a second search has no results, so its query is never used.
        queries = [(other or search).query for search, other in pairs]
        batch["irrelevant"] = pack(others, queries)
    return batch


def stack_queries(queries: Sequence[object]) -> object:
    """Stacks queries to `[batch, ...]`, or to a dict of such columns by name.

    Args:
      queries: strings, numbers or vectors, or dicts of them with the same names.
    """
    if queries and isinstance(queries[0], Mapping):
        return {name: np.stack([q[name] for q in queries]) for name in queries[0]}
    return np.stack([np.asarray(query) for query in queries])


def no_searches(query: object) -> dict:
    """Makes a batch of zero searches.

    Args:
      query: input of the query tower, `[0, ...]`.
    """
    columns = {"items": tf.int64, "objects": tf.int32, "draw_order": tf.int32}
    columns |= {"clicked": tf.bool, "ranks": tf.float32}
    return {"query": query} | {
        name: tf.RaggedTensor.from_row_splits(
            tf.zeros([0], kind), tf.zeros([1], tf.int64)
        )
        for name, kind in columns.items()
    }


class SearchObjects(NamedTuple):
    """Objects of all searches of a batch, numbered from 0 across the batch.

    Attributes:
      number: `[num_results]` int64 number of the object of each result.
      row: `[num_objects]` int64 search of each object.
      lengths: `[batch]` int64 number of objects of each search.
      has_click: `[num_objects]` bool, whether a part of the object was clicked.
    """

    number: tf.Tensor
    row: tf.Tensor
    lengths: tf.Tensor
    has_click: tf.Tensor

    @property
    def total(self) -> tf.Tensor:
        """Scalar int64, number of objects of the batch."""
        return tf.reduce_sum(self.lengths)

    @property
    def starts(self) -> tf.Tensor:
        """`[batch]` int64 number of the first object of each search."""
        return tf.cumsum(self.lengths, exclusive=True)


def search_objects(objects: tf.RaggedTensor, clicked: tf.RaggedTensor) -> SearchObjects:
    """Numbers the objects of a batch.

    Args:
      objects: `[batch, (num_results)]` integers, counted from 0 in each search.
      clicked: `[batch, (num_results)]` bool.
    """
    row = objects.value_rowids()
    within = tf.cast(objects.values, tf.int64)
    last = tf.math.segment_max(within, row)  # arbitrary, and unused, for empty rows
    missing = tf.fill(
        [objects.nrows() - tf.size(last, tf.int64)], tf.zeros([], tf.int64)
    )
    counts = tf.concat([last + 1, missing], axis=0)
    lengths = tf.where(objects.row_lengths() > 0, counts, tf.zeros_like(counts))
    starts = tf.cumsum(lengths, exclusive=True)
    number = tf.gather(starts, row) + within
    total = tf.reduce_sum(lengths)
    splits = tf.concat([starts, [total]], axis=0)
    has_click = tf.math.unsorted_segment_max(
        tf.cast(clicked.values, tf.int32), number, total
    )
    return SearchObjects(
        number,
        tf.ragged.row_splits_to_segment_ids(splits, out_type=tf.int64),
        lengths,
        has_click > 0,
    )


def draw_order(
    objects: tf.RaggedTensor, clicked: tf.RaggedTensor, seed: tf.Tensor
) -> tf.RaggedTensor:
    """Draws a random order of the objects without a click of each search.

    The first `k` objects of that order are a draw of `k` without replacement.

    Args:
      objects: `[batch, (num_results)]` integers from 0, the object of each result.
      clicked: `[batch, (num_results)]` bool.
      seed: `[2]` integers.

    Returns:
      `[batch, (num_results)]` int32 position of each result's object in the order;
      objects with a click come after all others.
    """
    found = search_objects(objects, clicked)
    draw = tf.random.stateless_uniform([found.total], seed, dtype=tf.float64)
    key = 2.0 * tf.cast(found.row, tf.float64) + draw
    key += tf.cast(found.has_click, tf.float64)
    position = tf.cast(tf.argsort(tf.argsort(key)), tf.int64)
    position -= tf.gather(found.starts, found.row)
    return objects.with_values(tf.cast(tf.gather(position, found.number), tf.int32))


def drawn_negatives(
    search: dict, owner: SearchObjects, *, factor: float, min_groups: int
) -> tf.Tensor:
    """Selects the results of unclicked objects that come first in the drawn order.

    Args:
      search: ragged columns of searches. If `factor` is below 1 they include
        `draw_order`, a random order of the objects without a click, or
        `negative_mask`, True for results that may be negatives.
      owner: objects of the searches.
      factor: share of the unclicked objects to select, rounded down.
      min_groups: least number of objects to select in each search.

    Returns:
      `[num_results]` bool.

    Raises:
      ValueError: both columns are missing and one is needed.
    """
    free = ~tf.gather(owner.has_click, owner.number)
    if "negative_mask" in search:
        return free & search["negative_mask"].values
    if factor == 1:
        return free
    if "draw_order" not in search:
        raise ValueError(
            f"A batch must have a column `draw_order`, or `negative_mask`, where "
            f"training draws a share of {factor} of the negatives. Got "
            f"{sorted(search)}. `data.clickstream.click_batches` makes `draw_order`."
        )
    candidates = tf.math.unsorted_segment_sum(
        tf.cast(~owner.has_click, tf.float64), owner.row, search["items"].nrows()
    )
    count = tf.floor(tf.constant(factor, tf.float64) * candidates)
    least = tf.minimum(tf.constant(min_groups, tf.float64), candidates)
    count = tf.cast(tf.maximum(count, least), tf.int32)
    order = tf.cast(search["draw_order"].values, tf.int32)
    return free & (order < tf.gather(count, search["items"].value_rowids()))


def _rank(search: Search, result: str, missing_rank: float | None) -> float:
    rank = search.ranks[result]
    if rank is not None:
        return rank
    if missing_rank is None:
        raise ValueError(
            f"The rank of result {result!r} of query {search.query!r} is not known: "
            "give every search ranks with `data.clickstream.fill_ranks`, from the "
            "model as it is before training."
        )
    return missing_rank
