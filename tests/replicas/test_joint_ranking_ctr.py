"""The joint model on two replicas."""

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.feature import Feature
from tfrs_models.models import JointRankingCTR
from tfrs_models.towers import FeatureTower

ROWS, SIZE = 26, 4
RNG = np.random.default_rng(0)
DATA = {
    "user_id": RNG.integers(9, size=ROWS),
    "item_id": RNG.integers(12, size=(ROWS, SIZE)),
    "labels": RNG.integers(-1, 2, size=(ROWS, SIZE)),
    "sample_weight": RNG.uniform(0.5, 2, size=ROWS).astype("float32"),
}
DATA["labels"][3:6] = -1


def make(**options):
    tf.keras.utils.set_random_seed(0)
    model = JointRankingCTR(
        FeatureTower([Feature("user_id", "id", 8)], 4),
        FeatureTower([Feature("item_id", "id", 10)], 4),
        calibrated=True,
    )
    model({name: value[:1] for name, value in DATA.items()})
    model.compile(tf.keras.optimizers.SGD(0.05), **options)
    return model


@pytest.mark.slow
def test_two_replicas_train_and_report_as_one(strategy):
    one = make(run_eagerly=True)
    with strategy.scope():
        two = make()
    for rows in (26, 25, 17):  # uneven and empty last shares, by one graph
        part = {name: value[:rows] for name, value in DATA.items()}
        dataset = tf.data.Dataset.from_tensor_slices(part).batch(8)
        figures = {}
        for model in (one, two):
            model.fit(dataset, epochs=2, verbose=0)
            figures[model] = model.evaluate(dataset, verbose=0, return_dict=True)
        for left, right in zip(
            one.trainable_weights, two.trainable_weights, strict=True
        ):
            np.testing.assert_allclose(right, left, rtol=1e-4, atol=1e-6)
        assert figures[two] == pytest.approx(figures[one], rel=1e-4, abs=1e-6)
