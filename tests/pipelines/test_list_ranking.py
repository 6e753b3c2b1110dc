"""Training of a ranker of lists, its figures and its verdict."""

import numpy as np
import pytest
import tensorflow as tf

import tfrs_models as tm
from pipelines.benchmarks import cascade
from pipelines.parts import list_ranking
from pipelines.reporting.list_ranking import (
    DIFFERENCE,
    ORDERS,
    intervals,
    values_of,
    verdict,
)

ROWS, CANDIDATES = 40, 5


def lists(sign):
    """The next item has the highest or the lowest value of a feature."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(ROWS, CANDIDATES, 1)).astype("float32")
    labels = np.eye(CANDIDATES)[(sign * values[:, :, 0]).argmax(axis=1)]
    score = -np.sort(-rng.random((ROWS, CANDIDATES)).astype("float32"))
    features = {
        "retrieval_score": score,
        "candidate_features": values,
        "pair_features": rng.normal(size=(ROWS, CANDIDATES, 2, 1)).astype("float32"),
        "history_features": rng.normal(size=(ROWS, 2, 1)).astype("float32"),
        "history_mask": np.ones((ROWS, 2), bool),
        "context_features": np.zeros((ROWS, 1), "float32"),
        "labels": labels.astype("float32"),
    }
    return tf.data.Dataset.from_tensor_slices(features)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_ranker_that_is_no_better_keeps_the_order_of_retrieval(sign):
    """Validation rows that say the opposite of the training rows: no epoch helps."""
    tf.keras.utils.set_random_seed(0)
    config = list_ranking.ListRankerConfig(
        epochs=4, patience=3, learning_rate=0.05, batch_size=20
    )
    ranker = tm.models.ListRanker(num_heads=1, hidden_units=[4], initial_scale=0.1)
    held_out = lists(1)
    if sign == -1:  # the first is right: as retrieved is best
        first = np.float32(np.eye(CANDIDATES)[0])
        held_out = held_out.map(lambda row: row | {"labels": tf.constant(first)})
    found = list_ranking.fit(config, ranker, lists(sign), held_out, seed=0)
    assert found.num_lists == ROWS
    order = list_ranking.reordered(found.ranker, held_out)
    assert found.is_better == (sign == 1)
    if found.is_better:
        assert found.validation["cascade"] > found.validation["retrieval"]
        assert order[:, 0].mean() > 0.7
    else:
        assert found.validation["cascade"] == found.validation["retrieval"]
        assert order[:, 0].all()


def table(gain, low, high):
    return {
        "all": {DIFFERENCE: {"ndcg_at_10": {"mean": gain, "low": low, "high": high}}}
    }


@pytest.mark.parametrize(
    ("gain", "is_better", "said"),
    [
        ((0.02, 0.01, 0.03), True, "The cascade beats retrieval alone: +0.0200"),
        ((0.02, -0.01, 0.05), True, "is not clearly better than retrieval alone"),
        ((-0.02, -0.03, -0.01), True, "loses to retrieval alone: -0.0200"),
        ((0.0, 0.0, 0.0), False, "No epoch of the ranker was better"),
    ],
)
def test_the_verdict_is_said_in_plain_words(gain, is_better, said):
    assert said in verdict(table(*gain), is_better=is_better)


def test_gains_are_paired_by_row():
    retrieved = np.eye(12, dtype=bool)[[0, 5, 11, 3]]
    retrieved[3] = False  # not found
    reranked = np.eye(12, dtype=bool)[[1, 0, 4, 3]]
    reranked[3] = False
    values = values_of(retrieved, reranked)
    gain = 1 / np.log2([3, 2, 6]) - 1 / np.log2([2, 7, np.inf])
    np.testing.assert_allclose(values[DIFFERENCE]["ndcg_at_10"], [*gain, 0], atol=1e-6)
    liked = np.array([True, False, True, False])
    found = intervals(values, np.array([1, 2, 3, 3]), liked)
    mean = found["liked"][DIFFERENCE]["ndcg_at_10"]["mean"]
    assert mean == pytest.approx(gain[[0, 2]].mean(), abs=1e-6)


def test_the_benchmark_draws_the_rows_of_a_user_in_all_seeds_together():
    rng = np.random.default_rng(0)

    def rows():
        found = {"users": np.arange(1, 31), "liked": np.arange(30) % 2 == 0}
        found |= {"validation": np.array([0.1, 0.2]), "is_better": np.array(True)}
        found["commit"] = np.array("abc")
        for name in cascade.METRICS:
            before, after = rng.random(30), rng.random(30) + 1
            found[f"{ORDERS[0]}/{name}"], found[f"{ORDERS[1]}/{name}"] = before, after
            found[f"{DIFFERENCE}/{name}"] = after - before
        return found

    seeds = [rows() for _ in range(3)]
    found = cascade.summary(seeds)
    assert found["num_users"] == 30
    mean = np.mean([s[f"{DIFFERENCE}/ndcg_at_10"] for s in seeds])
    assert found["test"]["all"][DIFFERENCE]["ndcg_at_10"]["mean"] == pytest.approx(mean)
    text = cascade.part(found, cascade.Config(seeds=(1, 2, 3)))
    assert text.endswith("Seeds 1, 2, 3; commit `abc`.")
    assert "The cascade beats retrieval alone" in text
    assert "30 users. NDCG@10 on the validation rows 0.1000 before" in text
