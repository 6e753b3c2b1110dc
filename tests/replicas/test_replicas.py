"""Two replicas, each on a logical processor of its own, do what one does."""

import numpy as np
import pytest
import tensorflow as tf

from tests import oracles
from tfrs_models import metrics, models, towers
from tfrs_models.data import Feature

NUM_ITEMS = 11


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return {
        "user_id": rng.integers(1, 8, size=30),
        "item_id": rng.integers(1, NUM_ITEMS + 1, size=30),
    }


def make(extra=("mrr", "coverage_at_3")):
    tf.keras.utils.set_random_seed(0)
    model = models.TwoTower(
        towers.FeatureTower([Feature("user_id", "id", 7)], 4),
        towers.FeatureTower([Feature("item_id", "id", NUM_ITEMS)], 4),
    )
    items = tf.data.Dataset.range(1, NUM_ITEMS + 1).batch(4)
    model.task.factorized_metrics = metrics.FactorizedTopK(
        model.embed_candidates(items.map(lambda ids: {"item_id": ids})),
        ks=[1, 3],
        metrics=extra,
    )
    model({"user_id": np.array([1]), "item_id": np.array([1])})
    model.compile(tf.keras.optimizers.SGD(0.1))
    return model


def corpus_figures(results):
    return {k: v for k, v in results.items() if k.startswith("factorized_top_k")}


@pytest.mark.parametrize("rows", [30, 29, 25])  # uneven and empty last shares
def test_corpus_metrics_of_two_replicas_are_those_of_one(strategy, data, rows):
    part = {name: value[:rows] for name, value in data.items()}
    dataset = tf.data.Dataset.from_tensor_slices(part).batch(8)
    one = make().evaluate(dataset, verbose=0, return_dict=True)
    with strategy.scope():
        model = make()
    two = model.evaluate(dataset, verbose=0, return_dict=True)
    assert corpus_figures(one)
    assert corpus_figures(two) == pytest.approx(corpus_figures(one), rel=1e-5)


def test_the_corpus_is_not_stale_on_any_replica(strategy, data):
    dataset = tf.data.Dataset.from_tensor_slices(data).batch(10)
    one = make()
    with strategy.scope():
        two = make()
    rng = np.random.default_rng(5)
    for _ in range(3):
        weights = [rng.normal(size=w.shape) for w in one.trainable_weights]
        results = []
        for model in (one, two):
            for variable, value in zip(model.trainable_weights, weights, strict=True):
                variable.assign(value)
            results.append(model.evaluate(dataset, verbose=0, return_dict=True))
        assert corpus_figures(results[0]) == pytest.approx(
            corpus_figures(results[1]), rel=1e-5
        )


def test_training_sums_the_gradients_of_the_replicas_own_batches(strategy, data):
    part = {name: value[:16] for name, value in data.items()}
    with strategy.scope():
        model = make()
    model.fit(tf.data.Dataset.from_tensor_slices(part).batch(16), verbose=0)
    alone = make()
    with tf.GradientTape() as tape:
        halves = [
            {name: tf.constant(value[rows]) for name, value in part.items()}
            for rows in (slice(0, 8), slice(8, 16))
        ]
        loss = tf.add_n([alone.compute_loss(half, training=True) for half in halves])
    gradients = tape.gradient(loss, alone.trainable_variables)
    for variable, gradient, trained in zip(
        alone.trainable_variables, gradients, model.trainable_variables, strict=True
    ):
        expected = variable - 0.1 * tf.convert_to_tensor(gradient)
        np.testing.assert_allclose(trained, expected, rtol=1e-4, atol=1e-6)


def test_losses_are_means_over_all_examples_of_both_replicas(strategy, data):
    dataset = tf.data.Dataset.from_tensor_slices(data).batch(10)
    with strategy.scope():
        model = make()
    results = model.evaluate(dataset, verbose=0, return_dict=True)
    total = 0.0
    for batch in dataset:
        for rows in (slice(0, 5), slice(5, 10)):
            half = {name: value[rows] for name, value in batch.items()}
            query, candidate = (side.numpy() for side in model(half))
            total += oracles.retrieval_loss(
                query,
                candidate,
                temperature=0.2,
                ids=half["item_id"].numpy(),
                remove_hits=True,
            )
    assert results["loss_per_example"] == pytest.approx(total / 30, rel=1e-5)


def test_fit_with_validation_runs_on_two_replicas(strategy, data):
    dataset = tf.data.Dataset.from_tensor_slices(data).batch(8)
    with strategy.scope():
        model = make()
    history = model.fit(dataset, validation_data=dataset, epochs=2, verbose=0).history
    assert history["loss"][1] < history["loss"][0]
    final = model.evaluate(dataset, verbose=0, return_dict=True)
    assert final["factorized_top_k/mrr"] == pytest.approx(
        history["val_factorized_top_k/mrr"][-1], rel=1e-5
    )
