import numpy as np
import pytest
import tensorflow as tf

from tfrs_models import layers

RNG = np.random.default_rng(0)
CANDIDATES = RNG.normal(size=(20, 3)).astype("float32")
QUERIES = RNG.normal(size=(4, 3)).astype("float32")


def test_candidates_that_follow_a_variable_are_never_stale():
    table = tf.Variable(CANDIDATES)
    rows = tf.data.Dataset.range(20).batch(6)
    index = layers.Streaming(k=5).index_from_dataset(
        rows.map(lambda i: (i, tf.gather(table, i)))
    )
    none = tf.zeros([4, 0], tf.int64)
    for sign in (1, -1):
        table.assign(sign * CANDIDATES)
        exact = np.argsort(-sign * QUERIES @ CANDIDATES.T)[:, :5]
        np.testing.assert_array_equal(index(QUERIES)[1], exact)
        np.testing.assert_array_equal(
            index.query_with_exclusions(QUERIES, none)[1], exact
        )


def test_fewer_candidates_than_k_all_come():
    batches = tf.data.Dataset.from_tensor_slices(CANDIDATES[:3]).batch(2)
    index = layers.Streaming(k=10).index_from_dataset(batches)
    expected = np.argsort(-QUERIES @ CANDIDATES[:3].T)
    np.testing.assert_array_equal(index(QUERIES)[1], expected)


def test_it_takes_datasets_only():
    with pytest.raises(NotImplementedError, match="index_from_dataset"):
        layers.Streaming().index(CANDIDATES)
