"""Two replicas, each on a logical processor of its own, do what one does."""

import contextlib

import numpy as np
import pytest
import tensorflow as tf

import tfrs_models
from tests import oracles
from tfrs_models import layers, metrics, models, towers
from tfrs_models.data import Feature, mixed_negatives
from tfrs_models.models.unisar.training import add_l2

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


def test_corpus_metrics_of_two_replicas_are_those_of_one(strategy, data):
    alone = make()
    with strategy.scope():
        model = make()
    for rows in (30, 29, 25):  # uneven and empty last shares
        part = {name: value[:rows] for name, value in data.items()}
        dataset = tf.data.Dataset.from_tensor_slices(part).batch(8)
        one, two = (
            corpus_figures(m.evaluate(dataset, verbose=0, return_dict=True))
            for m in (alone, model)
        )
        assert one
        assert two == pytest.approx(one, rel=1e-5), f"{rows} rows"


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


class Counting(tfrs_models.Model):
    """Counts the ids of training, and reports what it found of them."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.scale = self.add_weight("scale", [], initializer="ones")
        self.found = tf.keras.metrics.Sum("found")

    def compute_loss(self, features, training=False):
        probability = self.layer(features["item_id"], training=training)
        self.found.update_state(probability)
        return self.scale * tf.reduce_sum(probability)


@pytest.mark.parametrize("mode", ["rate", "gap"])
@pytest.mark.parametrize("text", [False, True])
def test_two_replicas_count_the_ids_of_both(strategy, data, mode, text):
    ids = data["item_id"].astype(str) if text else data["item_id"]
    asked = tf.constant(np.arange(15).astype(ids.dtype))
    counting = []
    for scope in (contextlib.nullcontext(), strategy.scope()):
        with scope:
            model = Counting(layers.FrequencyEstimator(1000, 3, 0.2, mode=mode))
            model.compile(tf.keras.optimizers.SGD(0.0))
        counting.append(model)
    for rows in (30, 29, 25):  # uneven and empty last shares
        dataset = tf.data.Dataset.from_tensor_slices({"item_id": ids[:rows]}).batch(8)
        found = []
        for model in counting:
            history = model.fit(dataset, epochs=2, verbose=0).history
            weights = model.layer.get_weights()
            found.append((model.layer(asked).numpy(), weights, history["found"]))
        one, two = found
        np.testing.assert_array_equal(one[0], two[0], err_msg=f"{rows} rows")
        assert len(set(one[0])) > 5
        for left, right in zip(one[1], two[1], strict=True):
            np.testing.assert_array_equal(left, right, err_msg=f"{rows} rows")
        assert two[2] == pytest.approx(one[2], rel=1e-5), f"{rows} rows"


class Penalised(tfrs_models.Model):
    """A sum over rows, with penalties of weights, of activities and of a batch."""

    def __init__(self):
        super().__init__()
        self.hidden = tf.keras.layers.Dense(
            3, kernel_regularizer="l2", activity_regularizer=tf.keras.regularizers.L1(7)
        )

    def call(self, features):
        hidden = self.hidden(features["x"])
        self.add_loss(tf.reduce_mean(tf.abs(features["x"]) @ self.hidden.kernel))
        return hidden

    def compute_loss(self, features, training=False):
        del training
        return tf.reduce_sum(tf.sin(self(features)))


@pytest.mark.parametrize("step", ["train_step", "test_step"])
@pytest.mark.parametrize("shares", [(4, 4), (5, 3), (8, 0)])
def test_penalties_of_two_replicas_are_those_of_one(strategy, shares, step):
    x = np.random.default_rng(0).normal(size=(8, 2)).astype("float32")
    parts = [{"x": tf.constant(part)} for part in (x[: shares[0]], x[shares[0] :])]
    found = []
    for scope in (contextlib.nullcontext(), strategy.scope()):
        tf.keras.utils.set_random_seed(0)
        with scope:
            model = Penalised()
            model.compile(tf.keras.optimizers.SGD(0.5))
            model.hidden.build((None, 2))
        found.append(model)
    one, two = found
    kernel = one.hidden.kernel.numpy().astype("float64")
    penalty = 0.01 * (kernel**2).sum() + (np.abs(x) @ kernel).mean()
    penalty += 7 * sum(np.abs(row @ kernel).sum() for row in x) / 8
    values = strategy.experimental_distribute_values_from_function(
        lambda context: parts[context.replica_id_in_sync_group]
    )
    getattr(one, step)({"x": tf.constant(x)})
    strategy.run(getattr(two, step), args=(values,))
    for model in found:
        figures = {metric.name: float(metric.result()) for metric in model.metrics}
        assert figures["regularization_loss"] == pytest.approx(penalty, rel=1e-5)
        assert figures["total_loss"] == pytest.approx(figures["loss"] + penalty)
    np.testing.assert_allclose(two.hidden.kernel, one.hidden.kernel, rtol=1e-5)
    assert np.any(one.hidden.kernel != kernel.astype("float32")) == (step[:2] == "tr")


@pytest.mark.parametrize("unused_rows", [True, False])
def test_rows_of_a_table_decay_as_much_on_two_replicas(strategy, unused_rows):
    table = np.random.default_rng(0).normal(size=(6, 2)).astype("float32")
    rows = [[1, 4, 1], [4, 5]]  # of each replica: 4 is on both
    ones = [tf.ones([len(own), 2]) for own in rows]

    def decayed(index):
        gradient = tf.IndexedSlices(ones[index], tf.constant(rows[index]), (6, 2))
        options = {"l2": 0.5, "unused_rows": unused_rows, "replicas": 2}
        return tf.convert_to_tensor(add_l2(gradient, tf.constant(table), **options))

    def on_replica():
        context = tf.distribute.get_replica_context()
        return decayed(context.replica_id_in_sync_group)

    found = strategy.experimental_local_results(strategy.run(on_replica))
    counts = np.array([0, 2, 0, 0, 2, 1])[:, None]  # what is no decay
    used = (counts > 0) | unused_rows
    np.testing.assert_allclose(tf.add_n(found), counts + 0.5 * table * used, rtol=1e-6)


def test_mixed_negatives_train_on_two_replicas(strategy, data):
    items = {"item_id": np.arange(NUM_ITEMS + 1)}
    dataset = tf.data.Dataset.from_tensor_slices(data).batch(10)
    dataset = mixed_negatives(dataset, items, 4, seed=0)
    with strategy.scope():
        model = make()
    history = model.fit(dataset, epochs=3, verbose=0).history
    assert history["loss"][2] < history["loss"][0]
