"""Sizes that only a running graph knows are checked there."""

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models import losses

ROWS = np.random.default_rng(0).normal(size=(7, 5)).astype("float32")


@pytest.mark.parametrize(
    "loss",
    [
        lambda rows, labels: losses.n_pair_loss(rows, rows, labels),
        lambda rows, labels: losses.batch_triplet_loss(rows, labels),
    ],
)
def test_one_label_is_not_that_of_all_rows(loss):
    graph = tf.function(
        loss,
        input_signature=[
            tf.TensorSpec([None, 5]),
            tf.TensorSpec([None], tf.int32),
        ],
    )
    assert graph(ROWS, np.arange(7, dtype="int32") % 2).shape == (7,)
    with pytest.raises(tf.errors.InvalidArgumentError, match="`labels` must have"):
        graph(ROWS, np.array([3], "int32"))


def test_one_positive_is_not_that_of_all_anchors():
    spec = tf.TensorSpec([None, 5])
    graph = tf.function(losses.triplet_loss, input_signature=[spec] * 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match="must have one shape"):
        graph(ROWS, ROWS[:1], ROWS)


@pytest.mark.parametrize("mining", ["all", "hard", "semi_hard"])
@pytest.mark.parametrize("distance", ["euclidean", "squared_euclidean"])
def test_mining_does_not_see_where_the_origin_is(mining, distance):
    labels = np.arange(7) % 3
    options = {"margin": 1.0, "mining": mining, "distance": distance}
    near = losses.batch_triplet_loss(ROWS, labels, **options)
    far = losses.batch_triplet_loss(ROWS + 256, labels, **options)
    np.testing.assert_allclose(far, near, rtol=1e-3, atol=1e-3)
