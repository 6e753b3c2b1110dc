"""Tunes an approximate index to a measured recall."""

import time
import warnings
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfrs_models.layers import BruteForce
from tfrs_models.metrics.bootstrap import Interval, bootstrap_interval
from tfrs_models.serving import tuning_measures
from tfrs_models.serving.tuning_result import Setting, Tuning
from tfrs_models.types import Features

__all__ = ["tune"]

Values = dict[str, int]

_FEWEST = 20  # smallest number of choosing queries, and of confirming ones
_TIMED = 16  # settings that are timed
_CLEARLY = 0.8  # ratio of times below which a setting with equal recall is preferred


class _Trial(NamedTuple):
    values: Values
    recall: Interval
    seconds: float


def tune(
    index: tf.keras.layers.Layer,
    queries: tf.Tensor | Features,
    *,
    recall_target: float = 0.95,
    k: int = 100,
    exact: tf.keras.layers.Layer | None = None,
    candidates: tf.Tensor | None = None,
    identifiers: tf.Tensor | None = None,
    batch_size: int = 64,
    for_batches: bool = False,
    repeats: int = 7,
    seed: int = 0,
) -> Tuning:
    """Finds the cheapest setting that reaches a recall, and sets the index to it.

    The queries are split at random: one half chooses the setting, the other half, which
    is held out, confirms its recall. A setting reaches the target if the lower end of
    its 95% bootstrap interval over queries does; the cheapest of these is chosen.
    Latencies are measured on this machine, in graphs like the served ones and in
    alternation, for exact search and at most 16 settings: those with a recall nearest
    to the target that no other setting clearly beats.

    Args:
      index: filled index: `layers.IVF`, to set its `num_probes`, or `layers.ScaNN`, to
        set its `num_leaves_to_search` and, if used, `num_reordering_candidates`.
      queries: `[num_queries, ...]` embeddings, or features of the index's query model.
        Give those of real requests, a few hundred or more, because the necessary
        setting depends on them.
      recall_target: share of the exact `k` best candidates that a query should find.
      k: number of candidates for each query.
      exact: exact index of the same candidates and ids. If None, one is made while
        tuning, of the contents of an `IVF`, else of `candidates`.
      candidates: `[num_candidates, embedding_dim]` embeddings that `index` was filled
        with.
      identifiers: `[num_candidates]` ids that `index` was filled with; None for row
        numbers.
      batch_size: number of queries in the batches that are timed.
      for_batches: whether to choose the setting that is cheapest for batches, instead
        of for single queries.
      repeats: number of times that each search is timed.
      seed: seed of the split of the queries.

    Returns:
      The recall-latency curve, the chosen setting, its confirmed recall, and exact
      search for comparison. A warning is given if no setting reaches the target (then
      the best one is set), and if exact search is faster than the chosen setting.

    Raises:
      ValueError: the index is exact, empty, or has no settings; there are too few
        queries; `k` is above the number of candidates; or the exact answers cannot be
        computed.
      InvalidArgumentError: a query is not finite.

    Example:
      >>> rows = np.random.default_rng(0).normal(size=(200, 4)).astype("float32")
      >>> index = tm.layers.IVF(block_size=32, num_probes=1).index(rows)
      >>> import warnings
      >>> with warnings.catch_warnings(action="ignore"):  # exact search is faster here
      ...     result = tm.serving.tuning.tune(index, rows[:40], k=5, repeats=1)
      >>> result.reached, index.num_probes > 1
      (True, True)
    """
    queries = tf.nest.map_structure(tf.convert_to_tensor, queries)
    number = len(tf.nest.flatten(queries)[0])
    _check(index, number, recall_target=recall_target, k=k)
    if exact is None:
        exact = _exact_index(index, candidates, identifiers)
    _check_exact(exact, index)
    order = np.random.default_rng(seed).permutation(number)
    choosing, confirming = (
        tuning_measures.rows_of(queries, rows) for rows in np.array_split(order, 2)
    )
    search_all = tuning_measures.graph_of(exact, queries, k)
    before = _settings(index)
    try:
        trials = list(
            _try_all(
                index,
                choosing,
                search_all,
                recall_target=recall_target,
                k=k,
                batch_size=batch_size,
            )
        )
        trials = _worth_timing(trials, recall_target)
        searches = [_set_to(index, trial.values, choosing, k) for trial in trials]
        *times, exact_times = tuning_measures.latencies(
            [*searches, search_all], choosing, batch_size=batch_size, repeats=repeats
        )
        curve = tuple(
            Setting(trial.values, trial.recall, *seconds)
            for trial, seconds in zip(trials, times, strict=True)
        )
        enough = [s for s in curve if s.recall.low >= recall_target]
        if enough:
            chosen = min(enough, key=lambda s: s.batch if for_batches else s.single)
        else:
            chosen = max(curve, key=lambda s: s.recall.mean)
        confirmed = _recall(
            searches[curve.index(chosen)],
            confirming,
            tuning_measures.answers(search_all, confirming, batch_size=batch_size),
            batch_size=batch_size,
        )
        before = chosen.values
    finally:
        for name, value in before.items():
            setattr(index, name, value)
    result = Tuning(
        curve=curve,
        chosen=chosen,
        reached=bool(enough) and confirmed.mean >= recall_target,
        confirmed=confirmed,
        exact=Setting({}, Interval(1.0, 1.0, 1.0), *exact_times),
        recall_target=recall_target,
        k=k,
        batch_size=batch_size,
        for_batches=for_batches,
        num_queries=(number - number // 2, number // 2),
    )
    for line in result.warnings:
        warnings.warn(line, stacklevel=2)
    return result


def _try_all(
    index: tf.keras.layers.Layer,
    queries: tf.Tensor | Features,
    search_all: tuning_measures.Search,
    *,
    recall_target: float,
    k: int,
    batch_size: int,
) -> Iterator[_Trial]:
    """Measures every grid from cheap settings on, until the recall suffices.

    A grid ends at a recall of 1, or at the target if a setting is slower than exact
    search.
    """
    warm_up = tuning_measures.rows_of(queries, np.arange(_FEWEST))
    search_all(warm_up)
    start = time.perf_counter()
    answers = tuning_measures.answers(search_all, queries, batch_size=batch_size)
    exact_seconds = time.perf_counter() - start
    for grid in grids(index, k):
        for values in grid:
            search = _set_to(index, values, queries, k)
            search(warm_up)
            start = time.perf_counter()
            recall = _recall(search, queries, answers, batch_size=batch_size)
            seconds = time.perf_counter() - start
            yield _Trial(values, recall, seconds)
            if recall.low >= (recall_target if seconds > exact_seconds else 1.0):
                break


def _worth_timing(trials: Sequence[_Trial], recall_target: float) -> list[_Trial]:
    """Selects the unbeaten settings nearest to the target, cheap ones first."""
    unbeaten = [
        trial
        for trial in trials
        if not any(
            other.recall.mean >= trial.recall.mean
            and other.seconds < _CLEARLY * trial.seconds
            for other in trials
        )
    ]
    unbeaten.sort(key=lambda trial: abs(trial.recall.mean - recall_target))
    return sorted(unbeaten[:_TIMED], key=lambda trial: trial.seconds)


def _set_to(
    index: tf.keras.layers.Layer, values: Values, queries: tf.Tensor | Features, k: int
) -> tuning_measures.Search:
    for name, value in values.items():
        setattr(index, name, value)
    return tuning_measures.graph_of(index, queries, k)


def _recall(
    search: tuning_measures.Search,
    queries: tf.Tensor | Features,
    exact: tuple[np.ndarray, np.ndarray],
    *,
    batch_size: int,
) -> Interval:
    found = tuning_measures.answers(search, queries, batch_size=batch_size)
    return bootstrap_interval(tuning_measures.recalls(found, exact))


def _settings(index: tf.keras.layers.Layer) -> Values:
    names = ("num_probes", "num_leaves_to_search", "num_reordering_candidates")
    values = {name: getattr(index, name, None) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def _exact_index(
    index: tf.keras.layers.Layer,
    candidates: tf.Tensor | None,
    identifiers: tf.Tensor | None,
) -> BruteForce:
    measured_by = index.get_config()["distance_measure"]
    if candidates is None and hasattr(index, "num_probes"):
        identifiers, candidates = index.contents()
    if candidates is None or measured_by not in ("dot_product", "cosine"):
        raise ValueError(
            "`exact` must be an exact index of the same candidates and measure, or "
            "`candidates` must be given, for the index does not hold its candidates, "
            f"or its `distance_measure`, {measured_by!r}, is none of `BruteForce`. Got "
            f"`exact=None` and {'no' if candidates is None else 'some'} candidates."
        )
    exact = BruteForce(index.query_model, distance_measure=measured_by)
    return exact.index(candidates, identifiers)


def _check(
    index: tf.keras.layers.Layer, number: int, *, recall_target: float, k: int
) -> None:
    if index.is_exact():
        raise ValueError(
            "`index` must be approximate: an exact one finds everything, there is "
            f"nothing to tune. Got {type(index).__name__}."
        )
    if not index.num_candidates:
        raise ValueError("`index` must be filled. Call its `index` first.")
    if not 0 < recall_target <= 1:
        raise ValueError(f"`recall_target` must be in (0, 1]. Got {recall_target}.")
    if not 1 <= k <= index.num_candidates:
        raise ValueError(
            "`k` must be from 1 to the number of candidates, "
            f"{index.num_candidates}. Got {k}."
        )
    if number < 2 * _FEWEST:
        raise ValueError(
            f"`queries` must be at least {2 * _FEWEST}: one half chooses, the other "
            f"confirms. Got {number}; take those of more requests."
        )


def _check_exact(exact: tf.keras.layers.Layer, index: tf.keras.layers.Layer) -> None:
    if not exact.is_exact():
        raise ValueError(
            "`exact` must be an exact index, such as `layers.BruteForce`: recall "
            f"against an approximate one says nothing. Got {type(exact).__name__}."
        )
    if exact.num_candidates != index.num_candidates:
        raise ValueError(
            "`exact` must hold the candidates of the index. Got "
            f"{exact.num_candidates} of {index.num_candidates}."
        )


def grids(index: tf.keras.layers.Layer, k: int) -> Iterator[Iterator[Values]]:
    """Yields grids of settings, each ordered from low to high recall and cost.

    Args:
      index: `layers.IVF`, `layers.ScaNN`, or another index with their settings.
      k: number of candidates for each query.

    Raises:
      ValueError: the index has no such settings.
    """
    if hasattr(index, "num_probes"):
        least = 2 * -(-k // index.get_config()["block_size"])  # some are partly filled
        steps = _geometric(min(least, index.num_blocks), index.num_blocks, 2**0.25)
        yield ({"num_probes": probes} for probes in steps)
    elif hasattr(index, "num_leaves_to_search"):
        num_leaves = index.get_config()["num_leaves"]
        leaves = _geometric(max(1, num_leaves // 64), num_leaves, 2**0.5)
        reordered = [None]
        if index.num_reordering_candidates is not None:
            most = min(index.num_candidates, 64 * k)
            reordered = _geometric(min(2 * k, most), most, 2.0)
        for number in reordered:
            own = {} if number is None else {"num_reordering_candidates": number}
            yield ({"num_leaves_to_search": some, **own} for some in leaves)
    else:
        raise ValueError(
            "`index` must be approximate, with settings to choose: `layers.IVF` or "
            f"`layers.ScaNN`. Got {type(index).__name__}."
        )


def _geometric(first: int, last: int, factor: float) -> list[int]:
    """Lists integers from first to last, each about `factor` times the previous."""
    numbers, number = [], float(first)
    while number < last:
        numbers.append(round(number))
        number = max(number * factor, numbers[-1] + 1)
    return [*numbers, last]
