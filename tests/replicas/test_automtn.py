"""The next-place model on two replicas."""

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.models import AutoMTN
from tfrs_models.models.automtn import POICloseness

ROWS, STEPS = 10, 6
RNG = np.random.default_rng(0)
DATA = {
    "user_id": RNG.integers(4, size=ROWS),
    "poi_id": RNG.integers(8, size=(ROWS, STEPS)),
    "category_id": RNG.integers(3, size=(ROWS, STEPS)),
    "hour": RNG.integers(24, size=(ROWS, STEPS)),
    "weekday": RNG.integers(7, size=(ROWS, STEPS)),
    "next_poi_id": RNG.integers(8, size=ROWS),
    "next_category_id": RNG.integers(3, size=ROWS),
}
PLACES = RNG.uniform(40, 41, size=(7, 2))


def make(**options):
    tf.keras.utils.set_random_seed(0)
    closeness = POICloseness(coordinates=PLACES)
    model = AutoMTN(*(3, 7, 2, 4), closeness=closeness, seq_len=STEPS, num_heads=2)
    model({name: values[:1] for name, values in DATA.items()})
    model.compile(tf.keras.optimizers.SGD(0.05), **options)
    return model


@pytest.mark.slow
def test_two_replicas_train_and_report_as_one(strategy):
    """Lags of training are those of the batch of all replicas."""
    part = {name: values[:7] for name, values in DATA.items()}  # an uneven last share
    dataset = tf.data.Dataset.from_tensor_slices(part).batch(4)
    one = make(run_eagerly=True)
    with strategy.scope():
        two = make()
    figures = {}
    for model in (one, two):
        model.fit(dataset, epochs=1, verbose=0)
        figures[model] = model.evaluate(dataset, verbose=0, return_dict=True)
    for left, right in zip(one.trainable_weights, two.trainable_weights, strict=True):
        np.testing.assert_allclose(right, left, rtol=1e-4, atol=1e-5)
    assert figures[two] == pytest.approx(figures[one], rel=1e-4, abs=1e-6)
