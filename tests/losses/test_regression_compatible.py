"""The listwise loss whose minimum is a calibrated one."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tests.oracles import gradient
from tfrs_models.losses import regression_compatible_loss

RNG = np.random.default_rng(0)
SCORES = RNG.normal(scale=2, size=(6, 5))
LABELS = np.array(
    [
        [1, 0, 0, 1, 0],
        [0, 1, -1, 0, -1],
        [0, 0, 0, 0, 0],  # nothing was clicked
        [-1, -1, -1, -1, -1],  # an empty list
        [1, -1, -1, -1, -1],
        [0.5, 0.25, 0, 1, 0],
    ]
)


def loops(labels, scores):
    out = []
    for row, row_scores in zip(labels, scores, strict=True):
        valid = [j for j in range(len(row)) if row[j] >= 0]
        p = {j: 1 / (1 + math.exp(-row_scores[j])) for j in valid}
        mass = sum(row[j] for j in valid)
        loss = 0.0
        for j in valid:
            loss -= row[j] * math.log(p[j] / sum(p.values()))
        out.append(loss / mass if mass else 0.0)
    return np.array(out)


def slope(labels, scores):
    scores = tf.constant(scores, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(scores)
        loss = tf.reduce_sum(regression_compatible_loss(tf.constant(labels), scores))
    return tape.gradient(loss, scores).numpy()


def test_loss_and_gradient_are_those_of_the_definition():
    found = regression_compatible_loss(tf.constant(LABELS), tf.constant(SCORES))
    np.testing.assert_allclose(found, loops(LABELS, SCORES), rtol=1e-5, atol=1e-6)
    expected = gradient(lambda s: loops(LABELS, s).sum(), SCORES)
    np.testing.assert_allclose(slope(LABELS, SCORES), expected, rtol=1e-3, atol=1e-5)


def test_a_mask_pads_as_a_label_of_minus_one_does():
    mask = LABELS >= 0
    masked = regression_compatible_loss(
        tf.constant(np.where(mask, LABELS, 1)),
        tf.constant(SCORES),
        mask=tf.constant(mask),
    )
    np.testing.assert_allclose(masked, loops(LABELS, SCORES), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_calibrated_scores_have_no_gradient(share):
    """Nor have those in proportion to calibrated ones: BCE chooses among them."""
    p = 1 / (1 + np.exp(-SCORES))
    np.testing.assert_allclose(slope(share * p, SCORES), 0, atol=1e-6)
    assert np.abs(slope(p**2, SCORES)).max() > 0.05


@pytest.mark.parametrize("size", [1e2, 1e4, 1e30])
def test_scores_of_any_size_have_finite_losses_and_gradients(size):
    scores = (size * np.sign(SCORES)).astype("float32")
    loss = regression_compatible_loss(tf.constant(LABELS), tf.constant(scores))
    assert np.isfinite(loss).all()
    assert np.isfinite(slope(LABELS, scores)).all()
