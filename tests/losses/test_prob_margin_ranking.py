import math

import numpy as np
import pytest
import tensorflow as tf

from tests.golden_cases import assert_close, cases, fails
from tfrs_models.data.clickstream import FineTuningFeatures, make_features
from tfrs_models.losses import prob_margin_ranking_loss

COLUMNS = FineTuningFeatures._fields
RNG = np.random.default_rng(0)


def split(inputs):
    options = {name: v for name, v in inputs.items() if name not in COLUMNS}
    if options.get("adjust") == "cosine_as_shipped":  # of which the original makes unit
        options["adjust"] = "unit"
    return make_features(**{name: inputs[name] for name in COLUMNS}), options


@cases("prob_margin_ranking_loss")
def test_golden_losses(case):
    features, options = split(case["inputs"])
    if fails(case):
        with pytest.raises(ValueError, match="`margin` must be finite and above 0"):
            prob_margin_ranking_loss(features, **options)
        return
    loss = prob_margin_ranking_loss(features, **options)
    assert_close(loss, case["expected"]["loss"])


@cases("prob_margin_ranking_loss_gradient")
def test_golden_gradients(case):
    features, options = split(case["inputs"])
    with tf.GradientTape() as tape:
        tape.watch(features[:2])
        loss = prob_margin_ranking_loss(features, **options)
    for slope, side in zip(
        tape.gradient(loss, features[:2]), ("positive", "negative"), strict=True
    ):
        assert_close(slope, case["expected"][f"{side}_grad"])


def definition(p, n, t, cp, cn, margin, adjust):
    total = 0.0
    for row in range(len(p)):
        d = margin - t[row] * (p[row] - n[row])
        d = 400 * d - 6 if adjust == "cosine" else d
        total += min(cp[row], cn[row]) / (1 + math.exp(-d))
    return total / len(p)


@pytest.mark.parametrize("adjust", ["unit", "cosine"])
def test_the_loss_is_its_definition_for_both_directions(adjust):
    columns = [RNG.uniform(-0.1, 0.1, 9).astype("float32") for _ in range(2)]
    columns.append(np.where(RNG.random(9) < 0.5, 1.0, -1.0))
    columns += [RNG.uniform(size=9) for _ in range(2)]
    expected = definition(*columns, 0.03, adjust)
    found = prob_margin_ranking_loss(make_features(*columns), 0.03, adjust)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_without_a_pair_loss_and_gradient_are_zero():
    ranks = tf.zeros([0])
    with tf.GradientTape() as tape:
        tape.watch(ranks)
        features = FineTuningFeatures(ranks, ranks, ranks, ranks, ranks)
        loss = prob_margin_ranking_loss(features, fine_small_difference=True)
    assert float(loss) == 0
    assert tape.gradient(loss, ranks).shape == [0]


def test_differences_that_are_large_have_a_finite_gradient():
    """Our own semantics: the sigmoid of the original gives NaN here."""
    ranks = tf.constant([5.0, -5.0])
    with tf.GradientTape() as tape:
        tape.watch(ranks)
        features = make_features(ranks, -ranks, [1.0, 1], [1.0, 1], [1.0, 1])
        loss = prob_margin_ranking_loss(features, 0.05, "cosine")
    assert np.isfinite(tape.gradient(loss, ranks)).all()


def test_an_unknown_adjustment_is_named():
    features = make_features(*[[0.1]] * 5)
    with pytest.raises(ValueError, match="`adjust` must be one of.*Got 'dot'"):
        prob_margin_ranking_loss(features, adjust="dot")


@pytest.mark.parametrize("fine", [False, True])
def test_a_scaled_loss_has_scaled_gradients(fine):
    columns = [RNG.uniform(-0.1, 0.1, 9).astype("float32") for _ in range(2)]
    columns += [np.ones(9), RNG.uniform(size=9), RNG.uniform(size=9)]
    features = make_features(*columns)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(features[:2])
        loss = prob_margin_ranking_loss(features, 0.03, "cosine", fine)
        thrice = 3.0 * loss
    for side in features[:2]:
        slope = tape.gradient(loss, side)
        assert np.abs(slope).max() > 0
        np.testing.assert_allclose(tape.gradient(thrice, side), 3 * slope, rtol=1e-5)
