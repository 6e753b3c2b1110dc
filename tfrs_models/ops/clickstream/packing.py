"""Searches as ragged integer tensors."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
import tensorflow as tf


class Search(Protocol):
    """What packing reads of a search (`data.clickstream.FineTuningInput`)."""

    query: object
    events: Sequence[str]
    results: Sequence[str]
    ranks: Mapping[str, float | None]

    def object_of(self, part: str) -> str:
        """The object of a part."""


class Items(Protocol):
    """What packing reads of the items (`data.clickstream.ItemSet`)."""

    def rows(self, ids: Sequence[str]) -> Sequence[int]:
        """Rows of ids."""


def pack_searches(
    searches: Sequence[Search | None],
    items: Items,
    *,
    missing_rank: float | None = None,
) -> dict[str, tf.RaggedTensor]:
    """Results of searches, one row for each search.

    Args:
      searches: Searches; None is one without results.
      items: Where the ids of results are looked up; an id that owns several rows is
        several results.
      missing_rank: What stands for a rank that is not known; None refuses them.

    Returns:
      `items` int64 rows of the items, `objects` int32 objects of a search, counted from
      0 in the order of their first part, `clicked` bool and `ranks` float32, each
      `[batch, (num_results)]`.

    Raises:
      ValueError: a rank is not known.
      IndexError: an id is not known.
    """
    rows, objects, clicked, ranks, lengths = [], [], [], [], []
    for search in searches:
        before = len(rows)
        if search is not None:
            numbers, events = {}, set(search.events)
            for result in search.results:
                own = items.rows([result])
                owner = search.object_of(result)
                number = numbers.setdefault(owner, len(numbers))
                rank = _rank(search, result, missing_rank)
                rows += own
                objects += [number] * len(own)
                clicked += [result in events] * len(own)
                ranks += [rank] * len(own)
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
    """Pairs of searches as `layers.FeaturesExtractor` reads them.

    Args:
      pairs: A search with a click, and one without or None.
      items: See `pack_searches`.
      query_features: From a list of queries to what the query tower takes, `[batch,
        ...]`; where None, queries are stacked, dicts of features by name.
      missing_rank: See `pack_searches`.

    Returns:
      The columns of `pack_searches`, `query`, and `irrelevant` with the same of the
      second searches, where there is one.
    """
    features = query_features or stack_queries

    def pack(searches: Sequence[Search | None], queries: list) -> dict:
        packed = pack_searches(searches, items, missing_rank=missing_rank)
        return packed | {"query": tf.nest.map_structure(tf.constant, features(queries))}

    own, others = zip(*pairs, strict=True) if pairs else ((), ())
    batch = pack(own, [search.query for search in own])
    if any(other is not None for other in others):
        # A place without a search has no results: its query is anything.
        queries = [(other or search).query for search, other in pairs]
        batch["irrelevant"] = pack(others, queries)
    return batch


def stack_queries(queries: Sequence[object]) -> object:
    """Queries one below the other: `[batch, ...]`, or a dict of that by name.

    Args:
      queries: Strings, numbers or vectors, or dicts of them with the same names.
    """
    if queries and isinstance(queries[0], Mapping):
        return {name: np.stack([q[name] for q in queries]) for name in queries[0]}
    return np.stack([np.asarray(query) for query in queries])


def _rank(search: Search, result: str, missing_rank: float | None) -> float:
    rank = search.ranks[result]
    if rank is not None:
        return rank
    if missing_rank is None:
        raise ValueError(
            f"The rank of result {result!r} of query {search.query!r} is not known: "
            "give every search ranks with `layers.fill_ranks`, from the model as it is "
            "before training."
        )
    return missing_rank
