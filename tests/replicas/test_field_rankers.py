"""Rankers over declared fields on two replicas."""

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.feature import Feature
from tfrs_models.models import DCN, DeepFM
from tfrs_models.tasks import Regression

FIELDS = [Feature("user_id", "id", 12), Feature("genres", "bag", 4)]
ROWS = 26
RNG = np.random.default_rng(0)
DATA = {
    "user_id": RNG.integers(13, size=ROWS),
    "genres": RNG.integers(5, size=(ROWS, 3)),
    "like": RNG.integers(2, size=ROWS),
    "rating": RNG.integers(1, 6, size=ROWS).astype("float32"),
}
MODELS = {
    "deep fm": lambda: DeepFM(FIELDS, 4, label="like"),
    "dcn": lambda: DCN(FIELDS, 4, label="rating", task=Regression("rating", mean=3)),
}


def make(kind, **options):
    tf.keras.utils.set_random_seed(0)
    model = MODELS[kind]()
    model({name: value[:1] for name, value in DATA.items()})
    model.compile(tf.keras.optimizers.SGD(0.02), **options)
    return model


@pytest.mark.parametrize(
    "kind", ["dcn", pytest.param("deep fm", marks=pytest.mark.slow)]
)
def test_two_replicas_train_and_report_as_one(strategy, kind):
    one = make(kind, run_eagerly=True)
    with strategy.scope():
        two = make(kind)
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
