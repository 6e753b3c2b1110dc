import numpy as np
import tensorflow as tf

from tfrs_models.layers import ScoreIndex

SCORES = np.random.default_rng(0).normal(size=(4, 9)).astype("float32")


def filled():
    kinds = ["a", "b", "a", "b", "a", "b", "a", "b", "a"]
    return ScoreIndex(k=3).index(
        np.zeros((9, 1), "float32"), np.arange(1, 10), attributes={"kind": kinds}
    )


def test_items_come_in_the_order_of_their_scores():
    scores, ids = filled()(SCORES)
    np.testing.assert_array_equal(ids, 1 + np.argsort(-SCORES, axis=1)[:, :3])
    np.testing.assert_array_equal(scores, -np.sort(-SCORES, axis=1)[:, :3])


def test_exclusions_filters_and_allowed_ids_restrict_them():
    index = filled()
    best = 1 + np.argsort(-SCORES, axis=1)
    _, ids = index(SCORES, exclusions=best[:, :2])
    np.testing.assert_array_equal(ids, best[:, 2:5])
    _, ids = index(SCORES, filters={"kind": [["b"]] * 4})
    assert all(i % 2 == 0 for i in ids.numpy().ravel())
    _, ids = index(SCORES, allowed=best[:, 5:7])
    np.testing.assert_array_equal(ids[:, :2], best[:, 5:7])
    assert set(ids.numpy()[:, 2]) == {-1}


def test_a_query_layer_gives_the_scores():
    index = ScoreIndex(tf.keras.layers.Lambda(lambda x: -x), k=1)
    index.index(np.zeros((9, 1), "float32"), np.arange(1, 10))
    np.testing.assert_array_equal(index(SCORES)[1][:, 0], 1 + SCORES.argmin(axis=1))
