"""Answers and seconds of an index under one setting."""

import time
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tfrs_models.types import Features

_SINGLES = 10  # queries, one after the other, of a turn
_TIED = 1e-5  # of their size, by which scores that are summed in another order differ

Search = Callable[[tf.Tensor | Features], tuple[tf.Tensor, tf.Tensor]]


def rows_of(queries: tf.Tensor | Features, rows: np.ndarray) -> tf.Tensor | Features:
    """Some of the queries."""
    return tf.nest.map_structure(lambda values: tf.gather(values, rows), queries)


def graph_of(
    index: tf.keras.layers.Layer, queries: tf.Tensor | Features, k: int
) -> Search:
    """The search as a served graph has it: as the index is set now, any batch."""
    spec = tf.nest.map_structure(
        lambda values: tf.TensorSpec([None, *values.shape[1:]], values.dtype), queries
    )
    graph = tf.function(lambda queries: index(queries, k=k))
    return graph.get_concrete_function(spec)


def answers(
    search: Search, queries: tf.Tensor | Features, *, batch_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Scores and ids `[num_queries, k]`, found in batches."""
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
    """Share of the exact answer that was found, for each query.

    A candidate that ties with the last one of the exact answer is as good as it.

    Args:
      found: Scores and ids `[num_queries, k]`.
      exact: The same of exact search.
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
    """Median seconds for one query and for a batch, of searches that take turns.

    Args:
      searches: All of them see the same queries.
      queries: As many as there are; turns go round them.
      batch_size: Of a batch.
      repeats: Turns.
    """
    number = len(tf.nest.flatten(queries)[0])
    seconds = [([], []) for _ in searches]
    for turn in range(-1, repeats):  # the first one is not counted
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
