"""What next-place models have to beat."""

from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

import tfrs_models as tm
from tfrs_models.data.checkins import Traces
from tfrs_models.ops.scored_ranks import ranks_of_columns

Features = dict[str, np.ndarray]
_ROWS = 256


def popularity(traces: Traces) -> Callable[[Features], np.ndarray]:
    """How often a place is visited in training."""
    counts = _counts(traces)
    return lambda features: np.tile(counts, (len(features["user_id"]), 1))


def of_the_user(traces: Traces) -> Callable[[Features], np.ndarray]:
    """How often the user visits a place in training; popularity breaks ties."""
    user, place = _visits(traces)
    table = np.zeros((traces.num_users + 1, traces.num_pois + 1), np.float32)
    np.add.at(table, (user, place), 1)
    return lambda features: table[features["user_id"], 1:] + _tie_break(traces)


def markov(traces: Traces) -> Callable[[Features], np.ndarray]:
    """How often a place follows the last one in training; popularity breaks ties."""
    rows = traces.rows("train")
    target, first = traces.target[rows], traces.first[rows]
    place = traces.columns["poi_id"]
    steps = np.unique(
        np.concatenate([np.arange(f, t) for f, t in zip(first, target, strict=True)])
    )
    follows = np.zeros((traces.num_pois + 1, traces.num_pois + 1), np.float32)
    np.add.at(follows, (place[steps], place[steps + 1]), 1)
    follows[0] = 0
    return lambda features: follows[features["poi_id"][:, -1], 1:] + _tie_break(traces)


def nearest(traces: Traces) -> Callable[[Features], np.ndarray]:
    """How near a place is to the last one; that one itself comes last."""
    distances = tm.data.checkins.distance_matrix(traces.coordinates)
    np.fill_diagonal(distances, np.inf)
    unknown = np.zeros((1, traces.num_pois), np.float32)
    scores = np.concatenate([unknown, -distances])
    return lambda features: scores[features["poi_id"][:, -1]]


BASELINES = {
    "most popular": popularity,
    "user's most frequent": of_the_user,
    "first-order Markov": markov,
    "nearest": nearest,
}


def rank_test(
    traces: Traces, score: Callable[[Features], np.ndarray]
) -> tm.metrics.RankTable:
    """Ranks of the test targets among all places.

    Args:
      traces: Whose test split.
      score: From features of traces to `[batch, num_pois]` scores.
    """
    parts = [
        ranks_of_columns(
            tf.convert_to_tensor(score(features), tf.float32),
            features["next_poi_id"] - 1,
        )
        for features in _batches(traces)
    ]
    return tm.metrics.RankTable(
        *(np.concatenate(column) for column in zip(*parts, strict=True))
    )


def _batches(traces: Traces) -> Iterator[Features]:
    rows = traces.rows("test")
    for first in range(0, len(rows), _ROWS):
        yield traces.features(rows[first : first + _ROWS])


def _visits(traces: Traces) -> tuple[np.ndarray, np.ndarray]:
    """Users and places of the targets of training."""
    target = traces.target[traces.rows("train")]
    return traces.columns["user_id"][target], traces.columns["poi_id"][target]


def _counts(traces: Traces) -> np.ndarray:
    _, place = _visits(traces)
    return np.bincount(place, minlength=traces.num_pois + 1)[1:].astype(np.float32)


def _tie_break(traces: Traces) -> np.ndarray:
    counts = _counts(traces)
    return counts / (1 + counts.sum())
