import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.ops.cross_entropy import softmax_cross_entropy


def loops(logits, positives):
    """Losses and softmax of each row, in float64."""
    losses, shares = [], []
    for row, positive in zip(logits.astype("float64"), positives, strict=True):
        weights = [np.exp(value - row.max()) for value in row]
        share = [weight / sum(weights) for weight in weights]
        losses.append(-np.log(share[positive]))
        shares.append(share)
    return np.array(losses), np.array(shares)


@pytest.mark.parametrize(("batch", "num_candidates"), [(1, 1), (4, 7), (6, 6)])
def test_value_and_gradient_are_those_of_the_softmax(batch, num_candidates):
    rng = np.random.default_rng(batch)
    logits = tf.constant(rng.normal(0, 3, (batch, num_candidates)).astype("float32"))
    positives = rng.integers(num_candidates, size=batch).astype("int32")
    upstream = rng.normal(size=batch).astype("float32")
    with tf.GradientTape() as tape:
        tape.watch(logits)
        losses = softmax_cross_entropy(logits, positives)
    slope = tape.gradient(losses, logits, output_gradients=tf.constant(upstream))
    expected, shares = loops(logits.numpy(), positives)
    labels = np.eye(num_candidates)[positives]
    np.testing.assert_allclose(losses, expected, atol=1e-5)
    np.testing.assert_allclose(slope, upstream[:, None] * (shares - labels), atol=1e-5)


def test_masked_columns_get_no_share_and_large_logits_do_not_overflow():
    lowest = np.finfo("float32").min
    logits = tf.constant([[1e4, lowest, 1e4 - 1], [lowest, -1e4, lowest]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        losses = softmax_cross_entropy(logits, tf.constant([0, 1]))
    slope = tape.gradient(losses, logits)
    np.testing.assert_allclose(losses, [np.log1p(np.exp(-1)), 0], atol=1e-6)
    share = 1 / (1 + np.exp(1))
    np.testing.assert_allclose(slope, [[-share, 0, share], [0, 0, 0]], atol=1e-6)


def test_no_rows_have_no_loss():
    empty = softmax_cross_entropy(tf.zeros([0, 0]), tf.zeros([0], tf.int32))
    assert empty.shape == [0]
