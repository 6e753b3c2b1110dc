"""Baselines of models that predict the next POI."""

import functools
import math
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

import tfrs_models as tm
from tfrs_models.data.checkins import Traces
from tfrs_models.ops.geography import haversine
from tfrs_models.ops.ranks.scored_ranks import ranks_of_columns

Features = dict[str, np.ndarray]
_SMALL = 1e-4  # popularity only breaks ties: visits of a month ago count still
_ROWS = 256  # rows of a batch, at most
_SCORES = 2**22  # scores of a batch, at most: 16 MB


def popularity(traces: Traces) -> Callable[[Features], np.ndarray]:
    """Scores a POI by its number of visits in training."""
    counts = _counts(traces)
    return lambda features: np.tile(counts, (len(features["user_id"]), 1))


def of_the_user(traces: Traces) -> Callable[[Features], np.ndarray]:
    """Scores a POI by the user's visits in training; popularity breaks ties."""
    score = _pair_scores(*_visits(traces), traces)
    return lambda features: score(features["user_id"])


def markov(traces: Traces) -> Callable[[Features], np.ndarray]:
    """Scores a POI by how often it follows the last one; popularity breaks ties."""
    steps = np.flatnonzero(traces.steps("train"))
    poi = traces.columns["poi_id"]
    score = _pair_scores(poi[steps], poi[steps + 1], traces)
    return lambda features: score(features["poi_id"][:, -1])


def nearest(traces: Traces) -> Callable[[Features], np.ndarray]:
    """Scores a POI by its nearness to the last one, which itself comes last."""
    pois = tf.constant(traces.coordinates)

    def score(features: Features) -> np.ndarray:
        last = features["poi_id"][:, -1]
        here = tf.gather(pois, np.maximum(last - 1, 0))
        found = -haversine(here[:, None], pois).numpy().astype(np.float32)
        found[np.arange(len(last)), last - 1] = -np.inf
        found[last == 0] = 0
        return found

    return score


def past_visits(
    traces: Traces, *, half_life: float = math.inf, after_last: float = 0.0
) -> Callable[[Features], np.ndarray]:
    """Scores a POI by the user's visits up to the request; popularity breaks ties.

    Args:
      traces: traces with a `past_length`.
      half_life: days in which a visit comes to count half.
      after_last: what a visit counts more that followed one to the last POI.
    """
    ties = _tie_break(traces)

    def score(features: Features) -> np.ndarray:
        poi, last = features["past_poi_id"], features["poi_id"][:, -1:]
        age = features["timestamp"][:, None] - features["past_timestamp"]
        before = np.pad(poi, [(0, 0), (1, 0)])[:, :-1]
        value = 2.0 ** (-age / (half_life * 86_400))
        value += after_last * ((before == last) & (last > 0))
        found = np.tile(_SMALL * ties, (len(poi), 1))
        rows, columns = np.nonzero(poi)
        np.add.at(found, (rows, poi[rows, columns] - 1), value[rows, columns])
        return found

    return score


BASELINES = {
    "most popular": popularity,
    "user's most frequent": of_the_user,
    "first-order Markov": markov,
    "nearest": nearest,
}
PAST_BASELINES = {
    "user's visits so far": past_visits,
    "user's visits so far, half-life 30 days": functools.partial(
        past_visits, half_life=30.0
    ),
    "user's visits so far, half-life 7 days": functools.partial(
        past_visits, half_life=7.0
    ),
    "user's visits so far, threefold after the last POI": functools.partial(
        past_visits, half_life=30.0, after_last=2.0
    ),
}


def baselines(traces: Traces) -> dict[str, Callable[[Features], np.ndarray]]:
    """Returns name -> scores of all simple recommenders that the traces allow.

    Args:
      traces: traces; those with a `past_length` allow all.
    """
    found = BASELINES | (PAST_BASELINES if traces.past_length else {})
    return {name: make(traces) for name, make in found.items()}


def rank_split(
    traces: Traces, score: Callable[[Features], np.ndarray], split: str = "test"
) -> tm.metrics.RankTable:
    """Ranks the targets of a split among all POIs.

    Args:
      traces: traces.
      score: function from features of traces to `[batch, num_pois]` scores.
      split: "train", "validation" or "test".
    """
    parts = [
        ranks_of_columns(
            tf.convert_to_tensor(score(features), tf.float32),
            features["next_poi_id"] - 1,
        )
        for features in _batches(traces, split)
    ]
    return tm.metrics.RankTable(
        *(np.concatenate(column) for column in zip(*parts, strict=True))
    )


def _batches(traces: Traces, split: str) -> Iterator[Features]:
    rows = traces.rows(split)
    size = max(1, min(_ROWS, _SCORES // traces.num_pois))
    for first in range(0, len(rows), size):
        yield traces.features(rows[first : first + size])


def _pair_scores(
    given: np.ndarray, poi: np.ndarray, traces: Traces
) -> Callable[[np.ndarray], np.ndarray]:
    """Makes a function from given values to the counts of their pairs with POIs."""
    width = traces.num_pois + 1
    pairs, times = np.unique(given * width + poi, return_counts=True)
    given, column = pairs // width, pairs % width - 1
    ties = _tie_break(traces)

    def score(queries: np.ndarray) -> np.ndarray:
        found = np.tile(ties, (len(queries), 1))
        edges = (np.searchsorted(given, queries, side=s) for s in ("left", "right"))
        for row, first, last in zip(found, *edges, strict=True):
            row[column[first:last]] += times[first:last]
        return found

    return score


def _visits(traces: Traces) -> tuple[np.ndarray, np.ndarray]:
    """Returns users and POIs of the check-ins that training covers, each once."""
    seen = traces.steps("train")
    seen[traces.target[traces.rows("train")]] = True
    return traces.columns["user_id"][seen], traces.columns["poi_id"][seen]


def _counts(traces: Traces) -> np.ndarray:
    _, poi = _visits(traces)
    return np.bincount(poi, minlength=traces.num_pois + 1)[1:].astype(np.float32)


def _tie_break(traces: Traces) -> np.ndarray:
    """Scales popularity to [0, 1) by the largest count; shares would be too small."""
    counts = _counts(traces)
    return counts / (1 + counts.max())
