import contextlib
import re
import warnings

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs

from tests import oracles
from tfrs_models import layers, models, tasks, towers
from tfrs_models.data import Feature
from tfrs_models.training.learning_alarms import LearningAlarms, LearningWarning

NUM_USERS, NUM_ITEMS = 12, 30


@pytest.fixture
def data():
    """Users like items of their own third."""
    rng = np.random.default_rng(0)
    users = rng.integers(1, NUM_USERS + 1, size=200)
    items = (users % 3) * 10 + rng.integers(10, size=200) + 1
    counts = np.bincount(items, minlength=NUM_ITEMS + 1)
    return {
        "user_id": users,
        "item_id": items,
        "age": rng.normal(size=200).astype("float32"),
        "candidate_sampling_probability": (counts / 200).astype("float32")[items],
    }


def batches(data, batch=32):
    return tf.data.Dataset.from_tensor_slices(data).batch(batch)


def make(rate=0.02, **options):
    tf.keras.utils.set_random_seed(0)
    model = models.TwoTower(
        towers.FeatureTower([Feature("user_id", "id", NUM_USERS)], 8, id_dropout=0.1),
        towers.FeatureTower([Feature("item_id", "id", NUM_ITEMS)], 8),
        **options,
    )
    compile_eagerly(model, rate)
    return model


def compile_eagerly(model, rate=0.02):
    """Eagerly where that is allowed: on one replica."""
    model.compile(
        tf.keras.optimizers.Adam(rate), run_eagerly=not tf.distribute.has_strategy()
    )


def alarms_of(model, data, *, epochs=3, **options):
    """Messages of all alarms of a training run."""
    alarms = LearningAlarms(batches(data), **options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(batches(data), epochs=epochs, callbacks=[alarms], verbose=0)
    return [
        str(warning.message)
        for warning in caught
        if issubclass(warning.category, LearningWarning)
    ]


@pytest.fixture(params=["one replica", "two replicas"])
def scope(request, strategy):
    """Makes the scope of a model."""
    two = request.param == "two replicas"
    return strategy.scope if two else contextlib.nullcontext


def test_a_healthy_model_raises_no_alarm(data, scope):
    with scope():
        model = make()
    assert alarms_of(model, data) == []


def test_a_model_that_tells_nothing_apart_is_named_once(data, scope):
    with scope():
        model = make(rate=1e-9, temperature=3.0)
    (message,) = alarms_of(model, data, id_features=[])
    assert "does not tell candidates apart" in message
    assert "After epoch 1 " in message
    assert "Raise the learning rate" in message


def test_the_constant_scorers_loss_has_the_same_corrections_and_masks(data):
    model = make(rate=0.0)
    (message,) = alarms_of(model, data, epochs=1, num_batches=2)
    found = [float(x) for x in re.findall(r"\d+\.\d+(?=,| with)", message)]
    expected = np.zeros(2)
    for batch in batches(data).take(2):
        query, candidate = (side.numpy() for side in model(batch))
        expected += [
            oracles.retrieval_loss(
                embeddings,
                candidate,
                temperature=0.2,
                ids=batch["item_id"].numpy(),
                probability=batch["candidate_sampling_probability"].numpy(),
                remove_hits=True,
            )
            for embeddings in (query, 0 * query)
        ]
    assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("batch", "read"), [(10, 4), (1000, 3), (2000, 2), (9000, 1)])
def test_few_batches_of_many_rows_are_enough(batch, read):
    dataset = tf.data.Dataset.range(20_000).map(lambda i: {"user_id": i * 0})
    alarms = LearningAlarms(dataset.batch(batch), num_batches=4)
    with pytest.warns(LearningWarning, match=f"index 0\\) in {read} training"):
        alarms.on_train_begin()


class Fixed(tf.keras.Model):
    """A loss of 100 in all less what the queries add."""

    def __init__(self, gain):
        super().__init__()
        self.gain = gain

    def train_step(self, features):
        return {"loss": tf.reduce_sum(features["age"])}

    def task_inputs(self, features, training=False):
        assert len(features["age"])
        assert training is False
        queries = tf.eye(10) * self.gain
        return {"query_embeddings": queries, "candidate_embeddings": tf.eye(10)}

    def task(self, query_embeddings, compute_metrics=True, **arguments):
        assert compute_metrics is arguments["compute_batch_metrics"] is False
        return 100.0 - tf.reduce_sum(query_embeddings)


@pytest.mark.parametrize(("gain", "alarm"), [(0.2, False), (0.05, True), (-1, True)])
def test_a_loss_within_one_per_cent_of_a_constant_scorers_is_none_that_learns(
    data, gain, alarm
):
    model = Fixed(gain)
    model.compile()
    messages = alarms_of(model, data)
    assert [("apart yet" in message) for message in messages] == [True] * alarm


class Popular(tf.keras.layers.Layer):
    """A query that is the same for everybody."""

    def build(self, shape):
        del shape
        self.vector = self.add_weight("vector", [8], initializer="ones")

    def call(self, features, training=False):
        del training
        return self.vector + tf.zeros([tf.shape(features["user_id"])[0], 8])


def test_queries_that_all_prefer_one_item_are_named_once(data, scope):
    with scope():
        model = models.TwoTower(Popular(), make().candidate_tower)
        compile_eagerly(model)
    messages = alarms_of(model, data)
    assert sum("prefer the same candidate" in message for message in messages) == 1


def test_a_batch_of_few_items_may_have_one_favourite(data):
    model = models.TwoTower(Popular(), make().candidate_tower)
    compile_eagerly(model)
    few = {name: value[data["item_id"] < 8] for name, value in data.items()}
    assert not any("prefer" in message for message in alarms_of(model, few))


@pytest.mark.parametrize("name", ["user_id", "item_id"])
@pytest.mark.parametrize(("share", "alarm"), [(0.08, False), (0.3, True)])
def test_a_share_of_unknown_ids_above_the_threshold_is_named(data, name, share, alarm):
    data[name][np.random.default_rng(2).random(200) < share] = 0
    found = []
    for options in ({"num_batches": 99}, {"max_unknown": 0.5}):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            LearningAlarms(batches(data), **options).on_train_begin()
        found.append([str(warning.message) for warning in caught])
    share = f"{np.mean(data[name] == 0):.1%} of the ids of `{name}` are unknown"
    assert [share in message for message in found[0]] == [True] * alarm
    assert not found[1]


def test_what_it_computes_is_counted_in_no_metric(data):
    few = {name: values[:6] for name, values in data.items()}
    model = make()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alarms = LearningAlarms(batches(few, batch=1))
        model.fit(batches(few, batch=1), callbacks=[alarms], verbose=0)
    assert float(model.task.queries_without_negatives.result()) == 6


@pytest.mark.parametrize(("most", "alarm"), [(0.25, False), (0.24, True), (1.0, False)])
def test_the_share_that_is_permitted_is_no_alarm(most, alarm):
    features = {"user_id": np.array([1, 0, 3, 4]), "item_id": np.array([1, 2, 3, 4])}
    dataset = tf.data.Dataset.from_tensor_slices(features).batch(4)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        LearningAlarms(dataset, max_unknown=most).on_train_begin()
    assert len(caught) == alarm


def test_other_names_of_ids_and_ids_without_an_index_are_looked_at_or_left(data):
    data["shop"] = np.zeros(200, np.int32)
    data["token"] = np.full(200, "0")
    (message,) = alarms_of(make(), data, id_features=["shop", "token", "missing"])
    assert "100.0% of the ids of `shop`" in message


class Plain(tfrs.Model):
    """A model of TensorFlow Recommenders, which goes on whatever its loss is."""

    def __init__(self, factor=1.0):
        super().__init__()
        self.dense = tf.keras.layers.Dense(1)
        self.factor = factor

    def compute_loss(self, features, training=False):
        del training
        scores = self.dense(features["user"]["age"][:, None])
        return self.factor * tf.reduce_sum(tf.square(scores))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_plain_model_stops_and_its_offending_feature_is_named(data, bad, scope):
    data["age"][70] = bad
    with scope():
        model = Plain()
        model.compile("sgd")
    steps = []
    count = tf.keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, _: steps.append(batch)
    )
    nested = batches({"user": {"age": data["age"]}})
    alarms = LearningAlarms(nested)
    with pytest.warns(LearningWarning, match=r"batch 2 .*`user/age` is not finite"):
        model.fit(nested, epochs=3, callbacks=[alarms, count], verbose=0)
    assert steps == [0, 1, 2]


def test_a_plain_model_whose_features_are_finite_is_told_so(data):
    model = Plain(factor=1e38)
    model.compile(tf.keras.optimizers.SGD(1.0))
    nested = batches({"user": {"age": data["age"] * 100}})
    with pytest.warns(LearningWarning, match="Every feature of the data is finite"):
        model.fit(nested, callbacks=[LearningAlarms(nested)], verbose=0)


def test_data_without_an_end_is_searched_as_far_as_the_epoch_goes(data):
    model = Plain(factor=np.inf)
    model.compile("sgd")
    nested = batches({"user": {"age": data["age"]}}).repeat()
    with pytest.warns(LearningWarning, match="Every feature of the data is finite"):
        model.fit(
            nested, steps_per_epoch=4, callbacks=[LearningAlarms(nested)], verbose=0
        )


def test_our_own_model_stops_by_itself(data):
    data["age"][70] = np.nan
    model = make()
    with pytest.raises(tf.errors.InvalidArgumentError, match="`age` is not finite"):
        alarms_of(model, data)


def test_a_plain_model_that_is_finite_raises_no_alarm(data):
    model = Plain()
    model.compile(tf.keras.optimizers.SGD(1e-4))
    nested = batches({"user": {"age": data["age"]}})
    model.fit(nested, callbacks=[LearningAlarms(nested)], verbose=0)


def test_nothing_that_the_model_holds_changes(data, scope):
    del data["candidate_sampling_probability"]  # the estimator gives it
    runs = []
    for watched in (False, True):
        with scope():
            task = tasks.Retrieval(
                temperature=0.2,
                remove_accidental_hits=True,
                batch_metrics=[tf.keras.metrics.TopKCategoricalAccuracy(2, "top_2")],
                loss_metrics=[tf.keras.metrics.Mean("mean_loss")],
            )
            model = make(
                task=task, frequency_estimator=layers.FrequencyEstimator(99, 2, 0.1)
            )
        alarms = [LearningAlarms(batches(data))] if watched else []
        fitted = model.fit(batches(data), epochs=3, callbacks=alarms, verbose=0)
        after = tf.random.uniform([4]).numpy()  # what the random state gives next
        metrics = {metric.name: float(metric.result()) for metric in model.metrics}
        updates = [metric.update_state for metric in model.metrics]
        assert all("_ignore" not in repr(update) for update in updates)
        runs.append((fitted.history, model.get_weights(), metrics, after))
    without, with_alarms = runs
    assert with_alarms[0] == without[0]
    assert with_alarms[2] == without[2]
    assert "mean_loss" in without[2]
    for ours, theirs in zip(with_alarms[1], without[1], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(with_alarms[3], without[3])


def test_metrics_listen_again_when_a_tower_fails(data):
    model = make()
    model.fit(batches(data), verbose=0)
    alarms = LearningAlarms(batches({"user_id": data["user_id"]}))
    alarms.set_model(model)
    alarms.on_train_begin()
    with pytest.raises(ValueError, match="`item_id`"):
        alarms.on_epoch_end(0)
    before = [float(metric.result()) for metric in model.metrics]
    model.metrics[0].update_state(1e6)
    assert float(model.metrics[0].result()) != before[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dataset": [1]}, "`dataset` must be a tf.data.Dataset. Got list"),
        ({"num_batches": 0}, "`num_batches` must be at least 1. Got 0"),
        ({"id_features": "user_id"}, "`id_features` .*Got 'user_id'"),
        ({"max_unknown": 1.5}, r"`max_unknown` must be in \[0, 1\]. Got 1.5"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        LearningAlarms(**{"dataset": tf.data.Dataset.range(3), **arguments})
