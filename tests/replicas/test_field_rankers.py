"""Rankers over declared fields on two replicas."""

import contextlib

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


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        pytest.param("deep fm", 26, marks=pytest.mark.slow),
        ("deep fm", 17),
        pytest.param("dcn", 25, marks=pytest.mark.slow),
    ],
)
def test_two_replicas_train_and_report_as_one(strategy, kind, rows):
    part = {name: value[:rows] for name, value in DATA.items()}
    dataset = tf.data.Dataset.from_tensor_slices(part).batch(8)
    found = []
    for scope in (contextlib.nullcontext(), strategy.scope()):
        tf.keras.utils.set_random_seed(0)
        with scope:
            model = MODELS[kind]()
            model({name: value[:1] for name, value in part.items()})
            model.compile(tf.keras.optimizers.SGD(0.02))
        model.fit(dataset, epochs=2, verbose=0)
        figures = model.evaluate(dataset, verbose=0, return_dict=True)
        found.append((model.trainable_weights, figures))
    one, two = found
    for left, right in zip(one[0], two[0], strict=True):
        np.testing.assert_allclose(right, left, rtol=1e-4, atol=1e-6)
    for name, value in one[1].items():
        assert two[1][name] == pytest.approx(value, rel=1e-4, abs=1e-6), name
