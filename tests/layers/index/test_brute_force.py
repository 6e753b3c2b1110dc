import numpy as np
import pytest
import tensorflow as tf

from tfrs_models import layers

RNG = np.random.default_rng(0)
CANDIDATES = RNG.normal(size=(20, 3)).astype("float32")
QUERIES = RNG.normal(size=(4, 3)).astype("float32")
IDS = np.array([f"i{i}" for i in range(20)])


def test_weights_fill_a_layer_made_from_the_config(tmp_path):
    index = layers.BruteForce(k=3).index(CANDIDATES, IDS)
    index.save_weights(tmp_path / "weights")
    copy = layers.BruteForce.from_config(index.get_config())
    copy.load_weights(tmp_path / "weights").expect_partial()
    np.testing.assert_array_equal(copy(QUERIES)[1], index(QUERIES)[1])
    excluded = tf.constant([["i1", "i2"]] * 4)
    np.testing.assert_array_equal(
        copy.query_with_exclusions(QUERIES, excluded)[1],
        index.query_with_exclusions(QUERIES, excluded)[1],
    )


def test_indexing_again_leaves_no_old_weights_behind():
    index = layers.BruteForce(k=3).index(CANDIDATES, IDS)
    number = len(index.weights)
    index.index(CANDIDATES[:, :2])
    assert len(index.weights) == number
    assert not [weight for weight in index.weights if 3 in weight.shape]


def test_a_loaded_saved_model_can_be_indexed_anew(tmp_path):
    index = layers.BruteForce(k=3).index(CANDIDATES, IDS)
    index(QUERIES)  # Keras saves only what was called
    index.save(tmp_path / "index")
    loaded = tf.keras.models.load_model(tmp_path / "index")
    assert isinstance(loaded, layers.BruteForce)
    loaded.index(-CANDIDATES)
    expected = layers.BruteForce(k=3).index(-CANDIDATES)(QUERIES)
    np.testing.assert_array_equal(loaded(QUERIES)[1], expected[1])


@pytest.mark.parametrize("k", [1, 5])
def test_k_may_be_a_tensor(k):
    index = layers.BruteForce().index(CANDIDATES)
    np.testing.assert_array_equal(
        index(QUERIES, k=tf.constant(k))[1], index(QUERIES, k=k)[1]
    )


def test_ties_are_answered_by_the_first():
    index = layers.BruteForce(k=3).index(np.ones([6, 2], "float32"))
    np.testing.assert_array_equal(index(np.ones([1, 2], "float32"))[1], [[0, 1, 2]])


@pytest.mark.parametrize("graph", [False, True])
def test_similar_items_are_the_nearest_others(graph):
    index = layers.BruteForce(k=4).index(CANDIDATES, IDS)
    ask = tf.function(index.similar) if graph else index.similar
    scores, ids = ask(tf.constant(["i7", "i0", "new"]))
    for row, item in enumerate([7, 0]):
        products = [
            c @ CANDIDATES[item] if i != item else -np.inf
            for i, c in enumerate(CANDIDATES)
        ]
        order = np.argsort(products)[::-1][:4]
        np.testing.assert_array_equal(ids[row], IDS[order].astype("S"))
        np.testing.assert_allclose(scores[row], np.array(products)[order], rtol=1e-5)
    np.testing.assert_array_equal(scores[2], [-np.inf] * 4)
    np.testing.assert_array_equal(ids[2], [b""] * 4)


def test_similar_items_may_be_fewer_than_asked_for():
    index = layers.BruteForce(k=3).index(CANDIDATES[:3])
    scores, ids = index.similar(tf.constant([1]))
    assert set(ids.numpy()[0, :2]) == {0, 2}
    assert ids.numpy()[0, 2] == -1
    assert scores.numpy()[0, 2] == -np.inf


def test_similar_items_need_an_index():
    with pytest.raises(ValueError, match="The index is empty"):
        layers.BruteForce(k=3).similar(tf.constant([1]))
