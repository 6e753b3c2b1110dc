"""Squared errors, what is not observed, and the reported figures."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.tasks import Regression

RNG = np.random.default_rng(0)
SCORES = RNG.normal(size=(40, 1)).astype("float32")
RATINGS = RNG.integers(1, 11, size=(40, 1)) / 2
OBSERVED = RNG.uniform(size=40) < 0.7
WEIGHT = RNG.uniform(size=40).astype("float32")


def loops(weight):
    squares = absolutes = mass = 0.0
    for row in range(40):
        if OBSERVED[row]:
            error = 3.5 + float(SCORES[row, 0]) - float(RATINGS[row, 0])
            squares += weight[row] * error**2
            absolutes += weight[row] * abs(error)
            mass += weight[row]
    return squares, math.sqrt(squares / mass), absolutes / mass


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_squared_errors_add_up_and_their_root_mean_is_reported(weight):
    task = Regression("rating", mean=3.5)
    labels = np.where(OBSERVED[:, None], RATINGS, np.nan)
    losses = [
        float(
            task(labels[p], SCORES[p], sample_weight=None if weight is None else w[p])
        )
        for w in [weight]
        for p in (slice(0, 33), slice(33, 40))
    ]
    loss, rmse, mae = loops(np.ones(40) if weight is None else weight)
    assert sum(losses) == pytest.approx(loss, rel=1e-5)
    figures = {metric.name: float(metric.result()) for metric in task.metrics}
    assert figures == pytest.approx({"rating/rmse": rmse, "rating/mae": mae}, rel=1e-5)


def test_a_label_that_was_not_observed_has_no_gradient():
    task = Regression("rating")
    scores = tf.constant([[1.0], [2.0]])
    with tf.GradientTape() as tape:
        tape.watch(scores)
        loss = task(np.array([[np.nan], [5.0]]), scores)
    np.testing.assert_array_equal(tape.gradient(loss, scores), [[0], [-6]])


def test_labels_that_do_not_fit_are_named():
    task = Regression("rating")
    with pytest.raises(ValueError, match=r"`labels` must be \[batch, 1\].*\(40,\)"):
        task(RATINGS[:, 0], SCORES)
    with pytest.raises(ValueError, match="`mean` must be finite. Got nan"):
        Regression("rating", mean=math.nan)
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"(?s)`rating` are infin.*Rows\W+1\D+inf"
    ):
        task(np.array([[1.0], [np.inf]]), SCORES[:2])


@pytest.mark.parametrize(
    ("weight", "error", "message"),
    [
        (WEIGHT[:39], tf.errors.InvalidArgumentError, "one weight for each row"),
        (-WEIGHT, tf.errors.InvalidArgumentError, "`sample_weight` must not be neg"),
        (np.ones([40, 2], "float32"), ValueError, r"must be \[batch\].*\(40, 2\)"),
    ],
)
def test_weights_that_do_not_fit_are_named(weight, error, message):
    with pytest.raises(error, match=message):
        Regression("rating")(RATINGS, SCORES, sample_weight=weight)
