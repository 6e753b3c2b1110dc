"""The ranker of lists, before and after training."""

import numpy as np
import pytest
import tensorflow as tf

import tfrs_models as tm

RNG = np.random.default_rng(0)
ROWS, CANDIDATES = 60, 6


def lists(seed=0):
    """The next item is the one with the largest second feature, scores are noise."""
    rng = np.random.default_rng(seed)
    candidates = rng.normal(size=(ROWS, CANDIDATES, 2)).astype("float32")
    score = -np.sort(-rng.random((ROWS, CANDIDATES)).astype("float32"))
    score[0, 4:] = -np.inf
    right = np.where(np.isfinite(score), candidates[:, :, 1], -9).argmax(axis=1)
    mask = np.arange(3) < rng.integers(1, 4, size=(ROWS, 1))
    mask[1] = False
    return {
        "retrieval_score": score,
        "candidate_features": candidates,
        "pair_features": rng.normal(size=(ROWS, CANDIDATES, 3, 2)).astype("float32"),
        "history_features": rng.normal(size=(ROWS, 3, 1)).astype("float32"),
        "history_mask": mask,
        "context_features": rng.normal(size=(ROWS, 2)).astype("float32"),
        "labels": np.eye(CANDIDATES, dtype="float32")[right],
    }


@pytest.fixture(scope="module")
def trained():
    tf.keras.utils.set_random_seed(0)
    model = tm.models.ListRanker(num_heads=2, hidden_units=[8], initial_scale=5.0)
    batches = tf.data.Dataset.from_tensor_slices(lists()).batch(20)
    model.set_statistics(batches)
    model.compile(tf.keras.optimizers.Adam(0.03))
    before = model.evaluate(batches, return_dict=True, verbose=0)
    model.fit(batches, epochs=8, verbose=0)
    return model, before, model.evaluate(batches, return_dict=True, verbose=0)


def test_an_untrained_model_has_the_order_of_retrieval(trained):
    features = lists()
    model = tm.models.ListRanker(initial_scale=5.0)
    factor = np.where(features["history_mask"].any(axis=1, keepdims=True), 5, 1)
    expected = factor * features["retrieval_score"]
    np.testing.assert_allclose(model(features), expected, rtol=1e-6)
    _, before, _ = trained
    gains = features["labels"] @ (1 / np.log2(np.arange(CANDIDATES) + 2))
    assert before["ndcg_at_10"] == pytest.approx(gains.mean(), abs=1e-5)


def test_it_learns_what_retrieval_does_not_know(trained):
    _, before, after = trained
    assert after["ndcg_at_10"] > 0.9 > before["ndcg_at_10"]
    assert after["loss_per_example"] < before["loss_per_example"]


def test_rows_without_a_history_and_missing_candidates_keep_their_order(trained):
    model, features = trained[0], lists()
    scores = model.rank(features)["score"].numpy()
    assert np.isneginf(scores[0, 4:]).all()
    assert np.isfinite(scores[0, :4]).all()
    assert (np.diff(scores[1]) < 0).all()  # no history: as retrieved
    assert (np.diff(scores[2:]) > 0).any()


def test_statistics_are_those_of_present_candidates_and_items():
    features = lists()
    model = tm.models.ListRanker()
    model.set_statistics([features])
    present = np.isfinite(features["retrieval_score"])
    pairs = [
        features["pair_features"][row, i, j]
        for row in range(ROWS)
        for i in range(CANDIDATES)
        for j in range(3)
        if present[row, i] and features["history_mask"][row, j]
    ]
    for name, rows in (
        ("pair", np.array(pairs)),
        ("candidate", features["candidate_features"][present]),
    ):
        layer = model.standardize[name]
        np.testing.assert_allclose(layer.mean, rows.mean(axis=0), atol=1e-5)
        np.testing.assert_allclose(layer.scale, 1 / rows.std(axis=0), rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_units": [0]}, "`hidden_units` must be widths"),
        ({"initial_scale": 0.0}, "`initial_scale` must be above 0"),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        tm.models.ListRanker(**options)


def test_a_missing_feature_is_named():
    features = lists()
    del features["pair_features"]
    with pytest.raises(ValueError, match="Feature `pair_features` is missing"):
        tm.models.ListRanker()(features)
