"""Target attention against loops."""

import numpy as np
import pytest
import tensorflow as tf

import tfrs_models as tm

RNG = np.random.default_rng(0)
PAIRS = RNG.normal(size=(3, 4, 5, 2)).astype("float32")
MASK = np.array([[1, 1, 1, 1, 1], [1, 0, 1, 0, 0], [0, 0, 0, 0, 0]], bool)


def oracle(layer, pairs, mask):
    """Each head's sums, then each head's intensity, one candidate after the other."""
    first, last = ([x.numpy() for x in d.weights] for d in layer.logits.stack)
    rows = []
    for pair, seen in zip(pairs.astype(float), mask, strict=True):
        for candidate in pair:
            weights = np.zeros((0, layer.num_heads))
            for features in candidate[seen]:
                hidden = np.maximum(features @ first[0] + first[1], 0)
                weight = np.exp(hidden @ last[0] + last[1])
                weights = np.vstack([weights, weight])
            total = 1 + weights.sum(axis=0)
            sums = [(w[:, None] * candidate[seen]).sum(axis=0) for w in weights.T]
            sums = np.array(sums) / total[:, None]
            rows.append([*sums.ravel(), *np.log(total)])
    return np.reshape(rows, (*pairs.shape[:2], -1))


@pytest.mark.parametrize("size", [1, 30])
def test_it_is_the_sum_over_the_history_of_each_candidate(size):
    tf.keras.utils.set_random_seed(1)
    layer = tm.layers.TargetAttention(3, hidden_units=[4])
    found = layer(size * PAIRS, MASK)
    assert found.shape == (3, 4, 3 * 2 + 3)
    np.testing.assert_allclose(found, oracle(layer, size * PAIRS, MASK), rtol=2e-4)


def test_padding_and_the_order_of_the_history_change_nothing():
    layer = tm.layers.TargetAttention(2)
    found = layer(PAIRS, MASK)
    padding = np.where(MASK[:, None, :, None], PAIRS, 1e9)
    np.testing.assert_array_equal(layer(padding, MASK), found)
    order = [3, 0, 4, 2, 1]
    other = layer(PAIRS[:, :, order], MASK[:, order])
    np.testing.assert_allclose(other, found, rtol=1e-5, atol=1e-6)


def test_gradients_are_finite_without_a_history():
    layer = tm.layers.TargetAttention(2)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer(tf.constant(PAIRS), tf.constant(MASK)))
    for gradient in tape.gradient(total, layer.trainable_variables):
        assert np.isfinite(gradient).all()


def test_a_number_of_heads_below_one_is_refused():
    with pytest.raises(ValueError, match="`num_heads` must be at least 1. Got 0"):
        tm.layers.TargetAttention(0)
