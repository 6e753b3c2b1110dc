"""The ranker and its towers on two replicas."""

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models import models, tasks, towers

RNG = np.random.default_rng(0)
ROWS = 26
DATA = {
    "user_id": RNG.integers(2**60, size=ROWS),
    "item_id": RNG.integers(50, size=ROWS),
    "user_features": RNG.normal(size=(ROWS, 3)).astype("float32"),
    "item_features": RNG.normal(size=(ROWS, 2)).astype("float32"),
    "cross_features": RNG.normal(size=(ROWS, 4)).astype("float32"),
    "position": RNG.integers(6, size=ROWS),
    "labels": RNG.integers(-1, 2, size=(ROWS, 2)),
}


def make(**options):
    tf.keras.utils.set_random_seed(0)
    user = towers.MixtureOfRepresentations(
        [
            towers.UserId(20, 4),
            towers.DeepHash(4, num_hashes=8),
            towers.Cohort(5, 4, top_k=1),
        ],
        dropout=0.0,
    )
    model = models.MultiTaskRanker(
        user,
        num_tasks=2,
        item_id_hash_size=20,
        item_id_embedding_dim=3,
        user_value_weights=[1.0, 2.0],
        position_bias=towers.PositionBias(5, 2),
        task=tasks.MultiTask(["click", "buy"], task_weights="uncertainty"),
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
        history, figures = {}, {}
        for model in (one, two):
            history[model] = model.fit(dataset, epochs=2, verbose=0).history
            figures[model] = model.evaluate(dataset, verbose=0, return_dict=True)
        for left, right in zip(
            one.trainable_weights, two.trainable_weights, strict=True
        ):
            np.testing.assert_allclose(right, left, rtol=1e-4, atol=1e-6)
        assert figures[two] == pytest.approx(figures[one], rel=1e-4, abs=1e-6)
        losses = history[one]["loss_per_example"]
        assert losses[1] < losses[0]


def test_codes_are_the_same_on_every_replica(strategy):
    ids = tf.constant([1, 2**53 + 1, 2**60 + 7])
    alone = towers.DeepHash(4, num_hashes=16).encode(ids)
    with strategy.scope():
        tower = towers.DeepHash(4, num_hashes=16)
    codes = strategy.run(tower.encode, (ids,))
    for code in strategy.experimental_local_results(codes):
        np.testing.assert_array_equal(code, alone)
