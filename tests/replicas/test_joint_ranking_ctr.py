"""The joint model on two replicas."""

import contextlib

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


@pytest.mark.slow
@pytest.mark.parametrize("rows", [25, 17])  # uneven and empty last shares
def test_two_replicas_train_and_report_as_one(strategy, rows):
    part = {name: value[:rows] for name, value in DATA.items()}
    dataset = tf.data.Dataset.from_tensor_slices(part).batch(8)
    found = []
    for scope in (contextlib.nullcontext(), strategy.scope()):
        tf.keras.utils.set_random_seed(0)
        with scope:
            model = JointRankingCTR(
                FeatureTower([Feature("user_id", "id", 8)], 4),
                FeatureTower([Feature("item_id", "id", 10)], 4),
                calibrated=True,
            )
            model({name: value[:1] for name, value in part.items()})
            model.compile(tf.keras.optimizers.SGD(0.05))
        model.fit(dataset, epochs=2, verbose=0)
        figures = model.evaluate(dataset, verbose=0, return_dict=True)
        found.append((model.trainable_weights, figures))
    one, two = found
    for left, right in zip(one[0], two[0], strict=True):
        np.testing.assert_allclose(right, left, rtol=1e-4, atol=1e-6)
    for name, value in one[1].items():
        assert two[1][name] == pytest.approx(value, rel=1e-4, abs=1e-6), name
