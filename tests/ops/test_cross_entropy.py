import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import oracles
from tfrs_models.ops.cross_entropy import softmax_cross_entropy


def loops(logits, positives):
    losses = []
    for row, positive in zip(logits, positives, strict=True):
        top = max(row)
        mass = sum(math.exp(x - top) for x in row)
        losses.append(top + math.log(mass) - row[positive])
    return losses


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    batch=st.integers(1, 5),
    size=st.integers(1, 9),
    scale=st.sampled_from([1e-3, 1.0, 50.0, 1e4]),
)
def test_losses_and_gradients_are_those_of_the_loops(seed, batch, size, scale):
    rng = np.random.default_rng(seed)
    values = (rng.normal(size=(batch, size)) * scale).astype("float32")
    positives, weights = rng.integers(size, size=batch), rng.normal(size=batch)
    logits = tf.constant(values)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        losses = softmax_cross_entropy(logits, tf.constant(positives, tf.int32))
        total = tf.reduce_sum(losses * tf.constant(weights, tf.float32))
    np.testing.assert_allclose(
        losses, loops(values.tolist(), positives), rtol=1e-5, atol=1e-6 * scale + 1e-6
    )
    assert np.min(losses) >= 0
    slope = oracles.gradient(
        lambda x: np.dot(weights, loops(x.tolist(), positives)), values, step=1e-5
    )
    np.testing.assert_allclose(tape.gradient(total, logits), slope, atol=1e-4)


def test_masked_columns_get_neither_loss_nor_gradient():
    lowest = np.finfo("float32").min
    logits = tf.constant([[1.0, lowest, 0.5, lowest], [lowest, -3e8, lowest, lowest]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        losses = softmax_cross_entropy(logits, tf.constant([0, 1]))
    np.testing.assert_allclose(losses, [math.log1p(math.exp(-0.5)), 0], rtol=1e-6)
    gradient = tape.gradient(losses, logits).numpy()
    np.testing.assert_array_equal(gradient[0, [1, 3]], 0)
    np.testing.assert_array_equal(gradient[1], 0)


@pytest.mark.parametrize("shape", [(0, 0), (0, 4)])
def test_a_replica_without_rows_has_no_losses(shape):
    logits = tf.zeros(shape)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        losses = softmax_cross_entropy(logits, tf.zeros([0], tf.int32))
    assert losses.shape == (0,)
    assert tape.gradient(losses, logits).shape == shape
