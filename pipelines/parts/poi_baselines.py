"""What next-place models have to beat."""

from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

import tfrs_models as tm
from tfrs_models.data.checkins import Traces
from tfrs_models.ops.geography import haversine
from tfrs_models.ops.ranks.scored_ranks import ranks_of_columns

Features = dict[str, np.ndarray]
_ROWS = 256  # of a batch, at most, and
_SCORES = 2**22  # of all its rows: 16 MB


def popularity(traces: Traces) -> Callable[[Features], np.ndarray]:
    """How often a place is visited in training."""
    counts = _counts(traces)
    return lambda features: np.tile(counts, (len(features["user_id"]), 1))


def of_the_user(traces: Traces) -> Callable[[Features], np.ndarray]:
    """How often the user visits a place in training; popularity breaks ties."""
    score = _pair_scores(*_visits(traces), traces)
    return lambda features: score(features["user_id"])


def markov(traces: Traces) -> Callable[[Features], np.ndarray]:
    """How often a place follows the last one in training; popularity breaks ties."""
    steps = np.flatnonzero(traces.steps("train"))
    place = traces.columns["poi_id"]
    score = _pair_scores(place[steps], place[steps + 1], traces)
    return lambda features: score(features["poi_id"][:, -1])


def nearest(traces: Traces) -> Callable[[Features], np.ndarray]:
    """How near a place is to the last one; that one itself comes last."""
    places = tf.constant(traces.coordinates)

    def score(features: Features) -> np.ndarray:
        last = features["poi_id"][:, -1]
        here = tf.gather(places, np.maximum(last - 1, 0))
        found = -haversine(here[:, None], places).numpy().astype(np.float32)
        found[np.arange(len(last)), last - 1] = -np.inf
        found[last == 0] = 0
        return found

    return score


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
    size = max(1, min(_ROWS, _SCORES // traces.num_pois))
    for first in range(0, len(rows), size):
        yield traces.features(rows[first : first + size])


def _pair_scores(
    given: np.ndarray, place: np.ndarray, traces: Traces
) -> Callable[[np.ndarray], np.ndarray]:
    """From what is given to how often each place goes with it, for pairs of both."""
    width = traces.num_pois + 1
    pairs, times = np.unique(given * width + place, return_counts=True)
    given, column = pairs // width, pairs % width - 1
    ties = _tie_break(traces)

    def score(asked: np.ndarray) -> np.ndarray:
        found = np.tile(ties, (len(asked), 1))
        edges = (np.searchsorted(given, asked, side=side) for side in ("left", "right"))
        for row, first, last in zip(found, *edges, strict=True):
            row[column[first:last]] += times[first:last]
        return found

    return score


def _visits(traces: Traces) -> tuple[np.ndarray, np.ndarray]:
    """Users and places of the check-ins that training covers, each once."""
    seen = traces.steps("train")
    seen[traces.target[traces.rows("train")]] = True
    return traces.columns["user_id"][seen], traces.columns["poi_id"][seen]


def _counts(traces: Traces) -> np.ndarray:
    _, place = _visits(traces)
    return np.bincount(place, minlength=traces.num_pois + 1)[1:].astype(np.float32)


def _tie_break(traces: Traces) -> np.ndarray:
    """Popularity in [0, 1), by the largest: sums of a big file would be too small."""
    counts = _counts(traces)
    return counts / (1 + counts.max())
