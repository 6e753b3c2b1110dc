import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.layers import RemoveAccidentalHits


def oracle(logits, positives, ids):
    out = logits.copy()
    for row, positive in enumerate(positives):
        for col in range(logits.shape[1]):
            if col != positive and ids[col] == ids[positive]:
                out[row, col] = -np.inf
    return out


@pytest.mark.parametrize(("batch", "num_candidates"), [(1, 1), (5, 5), (5, 9)])
@pytest.mark.parametrize("dtype", ["int64", "str"])
def test_hits_get_no_probability_and_the_rest_is_softmax(batch, num_candidates, dtype):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(batch, num_candidates)).astype("float32")
    ids = rng.integers(3, size=num_candidates).astype(dtype)  # hits are certain
    positives = rng.permutation(num_candidates)[:batch]
    masked = RemoveAccidentalHits()(
        tf.one_hot(positives, num_candidates), tf.constant(logits), tf.constant(ids)
    )
    expected = tf.nn.softmax(oracle(logits.astype("float64"), positives, ids))
    np.testing.assert_allclose(tf.nn.softmax(masked), expected, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e30])
def test_hits_get_no_probability_at_any_magnitude_of_the_logits(scale):
    logits = tf.constant([[-1.0, 1.0, 0.0], [1.0, -1.0, 0.5]]) * scale
    masked = RemoveAccidentalHits()(tf.eye(2, 3), logits, tf.constant([8, 8, 1]))
    probability = tf.nn.softmax(masked).numpy()
    assert probability[0, 1] == probability[1, 0] == 0
    np.testing.assert_array_equal(masked.numpy()[:, 2], logits.numpy()[:, 2])


def test_neighbouring_ids_beyond_the_exact_floats_are_no_hits():
    logits = tf.zeros([2, 2])
    masked = RemoveAccidentalHits()(
        tf.eye(2), logits, tf.constant([2**53, 2**53 + 1], tf.int64)
    )
    np.testing.assert_array_equal(masked, logits)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_stays_finite(dtype):
    masked = RemoveAccidentalHits()(
        tf.eye(2), tf.zeros([2, 2], dtype), tf.constant([1, 1])
    )
    assert masked.dtype == dtype
    assert np.isfinite(tf.cast(masked, tf.float32)).all()
    np.testing.assert_array_equal(tf.cast(tf.nn.softmax(masked), tf.float32), np.eye(2))
