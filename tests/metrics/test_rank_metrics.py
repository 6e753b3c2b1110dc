import math
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.metrics.rank_metrics import RankMetrics
from tfrs_models.ops.ranks.scored_ranks import ranks_of_columns

GOLDEN = Path(__file__).parents[1] / "golden"
SCORES = [[0.3, 0.1, 0.7, 0.2], [5.0, 1.0, 2.0, 3.0], [0.0, 0.0, 0.0, 0.0]]
METRICS = ["hit_rate_at_1", "hit_rate_at_2", "ndcg_at_2", "mrr", "auc", "tie_rate"]


def ranks(scores, positives):
    return ranks_of_columns(tf.constant(scores), tf.constant(positives))


def test_metrics_are_means_over_the_batches_with_ties_by_their_expectation():
    ranked = RankMetrics(METRICS, name="search")
    ranked.update_state(ranks(SCORES[:2], [0, 0]))
    ranked.update_state(ranks(SCORES[2:], [0]))
    second = 1 / math.log2(3)  # of place 2
    expected = {
        "search/hit_rate_at_1": (0 + 1 + 1 / 4) / 3,
        "search/hit_rate_at_2": (1 + 1 + 2 / 4) / 3,
        "search/ndcg_at_2": (second + 1 + (1 + second) / 4) / 3,
        "search/mrr": (1 / 2 + 1 + (1 + 1 / 2 + 1 / 3 + 1 / 4) / 4) / 3,
        "search/auc": (2 / 3 + 1 + 1 / 2) / 3,
        "search/tie_rate": 1 / 3,
    }
    found = {name: float(value) for name, value in ranked.result().items()}
    assert found == pytest.approx(expected)
    assert [metric.name for metric in ranked.metrics] == list(expected)


def test_weights_count_and_a_reset_forgets():
    ranked = RankMetrics(["hit_rate_at_1"], ties="pessimistic")
    ranked.update_state(ranks(SCORES, [0, 0, 0]))
    ranked.reset_state()
    weight = tf.constant([1.0, 3.0, 0.0])
    ranked.update_state(ranks(SCORES, [0, 0, 0]), weight)
    np.testing.assert_allclose(ranked.result()["ranks/hit_rate_at_1"], 3 / 4)


def test_a_positive_that_is_no_candidate_is_a_miss():
    ranked = RankMetrics(["hit_rate_at_10", "miss_rate"])
    ranked.update_state(ranks(SCORES[:2], [-1, 0]))
    np.testing.assert_allclose(list(ranked.result().values()), [0.5, 0.5])


@pytest.mark.parametrize("metric", ["coverage_at_10", "novelty_at_3", "hits"])
def test_metrics_that_do_not_follow_from_ranks_are_refused(metric):
    with pytest.raises(ValueError, match="`metrics` must"):
        RankMetrics([metric])


def test_one_positive_among_99_negatives_is_ranked_as_the_original_ranks_it():
    golden = np.load(GOLDEN / "eval_metrics.npz")
    predictions = golden["predictions"]
    for row, rank in enumerate(golden["rank"]):
        place = ranks(predictions[row : row + 1], [0])
        assert place.above[0] + 1 == rank
    places = [1, 5, 10, 20, 50]
    names = [f"{name}_at_{k}" for name in ("hit_rate", "ndcg") for k in places]
    ranked = RankMetrics(names)
    ranked.update_state(ranks(predictions, [0] * len(predictions)))
    expected = [golden[f"{name}_at_{k}"] for name in ("HR", "NDCG") for k in places]
    np.testing.assert_allclose(list(ranked.result().values()), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("rank", "gain"), [(1, 1.0), (2, 0.6309), (5, 0.3869), (10, 0.2891), (11, 0.0)]
)
def test_the_gain_of_a_place_is_the_known_one(rank, gain):
    ranked = RankMetrics(["ndcg_at_10"])
    ranked.update_state(ranks([np.arange(20.0)], [20 - rank]))
    np.testing.assert_allclose(ranked.result()["ranks/ndcg_at_10"], gain, atol=1e-4)


def test_a_scorer_that_knows_nothing_is_at_chance():
    ranked = RankMetrics(["hit_rate_at_1", "hit_rate_at_10"])
    ranked.update_state(ranks(np.zeros([3, 100]), [0, 0, 0]))
    np.testing.assert_allclose(list(ranked.result().values()), [0.01, 0.1], rtol=1e-6)
