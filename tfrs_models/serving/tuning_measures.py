"""Measures the answers, recall and latency of an index under one setting."""

import time
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tfrs_models.types import Features

_SINGLES = 10  # single queries that are timed in one turn
_TIED = 1e-5  # relative difference of equal scores that are summed in another order

Search = Callable[[tf.Tensor | Features], tuple[tf.Tensor, tf.Tensor]]


def rows_of(queries: tf.Tensor | Features, rows: np.ndarray) -> tf.Tensor | Features:
    """Returns the given rows of the queries."""
    return tf.nest.map_structure(lambda values: tf.gather(values, rows), queries)


def graph_of(
    index: tf.keras.layers.Layer, queries: tf.Tensor | Features, k: int
) -> Search:
    """Traces a search with the present settings of the index, for any batch size."""
    spec = tf.nest.map_structure(
        lambda values: tf.TensorSpec([None, *values.shape[1:]], values.dtype), queries
    )
    graph = tf.function(lambda queries: index(queries, k=k))
    return graph.get_concrete_function(spec)


def answers(
    search: Search, queries: tf.Tensor | Features, *, batch_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns scores and ids `[num_queries, k]`, computed in batches."""
    number = len(tf.nest.flatten(queries)[0])
    found = [
        search(rows_of(queries, np.arange(start, min(start + batch_size, number))))
        for start in range(0, number, batch_size)
    ]
    scores, ids = zip(*found, strict=True)
    return tf.concat(scores, axis=0).numpy(), tf.concat(ids, axis=0).numpy()


def recalls(
    found: tuple[np.ndarray, np.ndarray], exact: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Computes the share of the exact answer that was found, for each query.

    A candidate that ties with the last one of the exact answer counts as found.

    Args:
      found: scores and ids `[num_queries, k]` of the index.
      exact: scores and ids `[num_queries, k]` of exact search.

    Returns:
      `[num_queries]` recalls.
    """
    tied = np.isclose(found[0], exact[0][:, -1:], rtol=_TIED, atol=0)
    same = [np.isin(a, b) for a, b in zip(found[1], exact[1], strict=True)]
    return (np.array(same) | tied).mean(axis=1)


def latencies(
    searches: Sequence[Search],
    queries: tf.Tensor | Features,
    *,
    batch_size: int,
    repeats: int,
) -> list[tuple[float, float]]:
    """Measures the median seconds of searches for one query and for a batch.

    The searches alternate, so that a slow moment of the machine affects all of them.

    Args:
      searches: searches to time with the same queries.
      queries: queries, from which each turn takes the next batch.
      batch_size: number of queries in a batch.
      repeats: number of turns; one more is not counted.

    Returns:
      For each search, the seconds for one query and for a batch.
    """
    number = len(tf.nest.flatten(queries)[0])
    seconds = [([], []) for _ in searches]
    for turn in range(-1, repeats):  # the first turn is not counted
        rows = np.arange(turn * batch_size, (turn + 1) * batch_size) % number
        batch = rows_of(queries, rows)
        singles = [
            rows_of(queries, rows[i % batch_size, None]) for i in range(_SINGLES)
        ]
        for search, (single, batched) in zip(searches, seconds, strict=True):
            times = [_stopwatch(search, query) for query in singles]
            if turn >= 0:
                single += times
            times = _stopwatch(search, batch)
            if turn >= 0:
                batched.append(times)
    return [(float(np.median(a)), float(np.median(b))) for a, b in seconds]


def _stopwatch(search: Search, queries: tf.Tensor | Features) -> float:
    start = time.perf_counter()
    search(queries)[0].numpy()
    return time.perf_counter() - start
