"""What Keras would ignore, drop or turn upside down without a word."""

import warnings

import numpy as np
import pytest
import tensorflow as tf

import tfrs_models
from tfrs_models import models, tasks, towers
from tfrs_models._fit_checks import direction
from tfrs_models.metrics.rank_values import parse_metric

RNG = np.random.default_rng(0)
FEATURES = {
    "x": RNG.normal(size=(6, 2)).astype("float32"),
    "y": RNG.integers(2, size=(6, 1)).astype("float32"),
}


class Clicks(tfrs_models.Model):
    """A logistic regression that also takes pairs of features and labels."""

    def __init__(self):
        super().__init__()
        self.dense = tf.keras.layers.Dense(1)
        self.task = tasks.MultiTask(["click"])

    def compute_loss(self, features, training=False):
        del training
        y = features["y"] if isinstance(features, dict) else features[1]
        x = features["x"] if isinstance(features, dict) else features[0]["x"]
        return self.task(y, self.dense(x))


@pytest.fixture(scope="module")
def model():
    model = Clicks()
    model.compile("sgd", run_eagerly=True)
    return model


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"loss": "mse"}, "`loss` of `compile` have no effect"),
        (
            {"metrics": [tf.keras.metrics.Mean()], "loss_weights": [1.0]},
            "`metrics`, `loss_weights` of `compile`",
        ),
        ({"weighted_metrics": ["auc"]}, "rows are the feature `sample_weight`"),
    ],
)
def test_losses_and_metrics_that_are_ignored_are_warned_of(arguments, named):
    with pytest.warns(UserWarning, match=named):
        Clicks().compile("sgd", **arguments)


@pytest.mark.parametrize(
    "method", ["fit", "evaluate", "train_on_batch", "test_on_batch"]
)
def test_weights_that_keras_would_drop_are_refused(model, method):
    with pytest.raises(
        ValueError, match=f"`sample_weight` of `{method}` would be ignored"
    ):
        getattr(model, method)(FEATURES, sample_weight=np.ones(6))
    dataset = tf.data.Dataset.from_tensors(FEATURES)
    with pytest.raises(ValueError, match="`class_weight` of `fit` would be ignored"):
        model.fit(dataset, class_weight={0: 1.0, 1: 2.0})


VALIDATION = {
    "labels": (FEATURES, np.ones(6)),
    "weights": (FEATURES, np.ones(6), np.ones(6)),
    "weights alone": (FEATURES, None, np.ones(6)),
}


@pytest.mark.parametrize("kind", VALIDATION)
def test_tuples_of_validation_are_refused_before_an_epoch_is_trained(model, kind):
    before = model.get_weights()
    named = r"`validation_data` of `fit` must be a dataset or a dict.*Got \(dict"
    with pytest.raises(ValueError, match=named):
        model.fit(FEATURES, validation_data=VALIDATION[kind], verbose=0)
    for weight, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, other)


IDS = {"user_id": np.array([1, 2, 3]), "item_id": np.array([2, 4, 4])}
PAIRS = tf.data.Dataset.from_tensors((IDS, np.ones(3)))


@pytest.fixture(scope="module")
def two_tower():
    model = models.TwoTower(towers.UserId(5, 2), towers.UserId(5, 2, feature="item_id"))
    model.compile("sgd", run_eagerly=True)
    return model


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("fit", (PAIRS,)),
        ("fit", (IDS, np.ones(3))),
        ("evaluate", (PAIRS,)),
        ("evaluate", (IDS, np.ones(3))),
        ("train_on_batch", (IDS, np.ones(3))),
        ("test_on_batch", (IDS, np.ones(3))),
    ],
)
def test_labels_beside_features_are_refused_by_name(two_tower, method, arguments):
    with pytest.raises(ValueError, match=r"must be a dict of features by name, with"):
        getattr(two_tower, method)(*arguments)


@pytest.mark.parametrize("name", ["class_weight", "sample_weight"])
def test_weights_beside_labels_are_refused_by_name(two_tower, name):
    weights = {"class_weight": {0: 1.0, 1: 2.0}, "sample_weight": np.ones(3)}[name]
    with pytest.raises(ValueError, match=rf"(?s)must be a dict of feat.*`{name}`"):
        two_tower.fit(IDS, np.ones(3), **{name: weights}, verbose=0)


def test_predictions_need_no_labels_and_ignore_them(two_tower):
    expected = two_tower.predict(IDS, verbose=0)
    for data in (PAIRS, tf.data.Dataset.from_tensors(IDS)):
        found = two_tower.predict(data, verbose=0)
        for left, right in zip(found, expected, strict=True):
            np.testing.assert_allclose(left, right, rtol=1e-6)


def test_a_model_of_ones_own_may_take_features_and_labels(model):
    pairs = tf.data.Dataset.from_tensors(({"x": FEATURES["x"]}, FEATURES["y"]))
    found = model.evaluate(pairs, verbose=0, return_dict=True)
    plain = model.evaluate(FEATURES, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(plain["loss"])


@pytest.mark.parametrize("step", ["train_on_batch", "test_on_batch"])
def test_a_batch_alone_is_one_of_a_dataset(model, step):
    one = tf.data.Dataset.from_tensors(FEATURES)
    expected = model.evaluate(one, verbose=0, return_dict=True)["loss"]
    model.reset_metrics()
    found = getattr(model, step)(FEATURES, return_dict=True)["loss"]
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("method", ["fit", "evaluate"])
def test_labels_of_one_class_are_warned_of_once(method):
    model = Clicks()
    model.compile("sgd", run_eagerly=True)
    run = getattr(model, method)
    alike = FEATURES | {"y": np.where(FEATURES["y"], 1.0, -1.0).astype("float32")}
    with pytest.warns(UserWarning, match=r"`click/auc` is NaN: all labels are 1.*make"):
        run(alike, verbose=0)
    run(alike, verbose=0)  # a warning would be an error here
    assert run(FEATURES, verbose=0) is not None


def test_labels_of_one_class_are_noticed_before_a_validation_hides_them():
    model = Clicks()
    model.compile("sgd", run_eagerly=True)
    alike = FEATURES | {"y": np.zeros_like(FEATURES["y"])}
    with pytest.warns(UserWarning, match="all labels are 0"):
        history = model.fit(alike, validation_data=FEATURES, verbose=0).history
    assert np.isnan(history["click/auc"][0])
    assert 0 <= history["val_click/auc"][0] <= 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("val_factorized_top_k/ndcg_at_10", "max"),
        ("factorized_top_k/top_5_categorical_accuracy", "max"),
        ("val_ndcg_at_5", "max"),
        ("recommendation/hit_rate_at_1", "max"),
        ("val_poi/mrr", "max"),
        ("val_like/auc", "max"),
        ("val_mean_average_precision_at_3", "max"),
        ("val_pair_accuracy", "max"),
        ("sliding_val_pair_accuracy", "max"),
        ("mean_gap", "max"),
        ("val_loss", "min"),
        ("val_loss_per_pair", "min"),
        ("mean_val_total_loss", "min"),
        ("val_like/log_loss", "min"),
        ("rating/rmse", "min"),
        ("val_like/calibration_error", "min"),
        ("factorized_top_k/miss_rate", "min"),
        ("val_factorized_top_k/hidden_rate", "min"),
        ("mapped_loss", "min"),
        ("gate_entropy", None),
        ("val_num_pairs", None),
    ],
)
def test_names_of_metrics_say_which_way_is_better(name, expected):
    assert direction(name) == expected


def best_of(callback, model, values):
    """What a callback takes for the best of the epochs."""
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, value in enumerate(values):
        callback.on_epoch_end(epoch, {callback.monitor: value, "lr": 1.0})
    return callback.best


@pytest.mark.parametrize("mode", ["auto", "max"])
@pytest.mark.parametrize("kind", ["EarlyStopping", "ReduceLROnPlateau"])
def test_callbacks_take_the_largest_ndcg_for_the_best(model, kind, mode, tmp_path):
    make = getattr(tf.keras.callbacks, kind)
    callback = make("val_ndcg_at_10", mode=mode, patience=9, min_delta=1e-3)
    loss = make("val_loss", mode="auto", patience=9)
    saver = tf.keras.callbacks.ModelCheckpoint(
        f"{tmp_path}/a.keras", "val_ndcg_at_10", mode=mode, save_best_only=True
    )
    fit = {"verbose": 0, "callbacks": [callback, loss, saver]}
    if mode == "auto":
        with pytest.warns(UserWarning, match='would minimise `val_ndcg_at_10`.*"max"'):
            model.fit(FEATURES, **fit)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(FEATURES, **fit)
    assert best_of(callback, model, [0.2, 0.5, 0.3]) == 0.5
    assert best_of(loss, model, [0.2, 0.5, 0.3]) == 0.2
    assert saver.best == -np.inf
    assert saver.monitor_op is np.greater


@pytest.mark.parametrize("kind", ["EarlyStopping", "ReduceLROnPlateau"])
def test_callbacks_take_the_smallest_error_for_the_best(model, kind):
    """Keras maximises what has `acc` in its name, such as a loss of acceptance."""
    callback = getattr(tf.keras.callbacks, kind)("val_accept/log_loss", mode="max")
    with pytest.warns(UserWarning, match='would maximise `val_accept.*mode="min"'):
        model.fit(FEATURES, verbose=0, callbacks=[callback])
    assert best_of(callback, model, [0.5, 0.2, 0.3]) == 0.2


@pytest.mark.parametrize(
    "metric", ["hit_rate_at_10", "ndcg_at_5", "mrr", "auc", "coverage_at_10"]
)
def test_a_metric_of_the_corpus_has_a_direction(metric):
    assert parse_metric(metric)
    assert direction(f"val_factorized_top_k/{metric}") == "max"


@pytest.mark.parametrize("metric", ["tie_rate", "miss_rate"])
def test_ties_and_misses_are_better_without(metric):
    assert parse_metric(metric)
    assert direction(f"val_factorized_top_k/{metric}") == "min"


def test_novelty_is_neither_better_nor_worse():
    assert parse_metric("novelty_at_10")
    assert direction("val_factorized_top_k/novelty_at_10") is None
