import contextlib

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs

import tfrs_models
from tfrs_models._keras import UnsavedMean
from tfrs_models.data.batching import row_batches


class Linear(tfrs_models.Model):
    """Sum of squared errors of a linear function of `x`."""

    def __init__(self, l2=0.0):
        super().__init__()
        regularizer = tf.keras.regularizers.L2(l2) if l2 else None
        self.dense = tf.keras.layers.Dense(
            1, kernel_initializer="ones", kernel_regularizer=regularizer, use_bias=False
        )

    def compute_loss(self, features, training=False):
        del training
        scores = tf.cast(self.dense(features["x"])[:, 0], tf.float32)
        error = scores - tf.cast(features["y"], tf.float32)
        return tf.reduce_sum(tf.square(error))

    @property
    def weight(self):
        return self.dense.kernel.numpy().item()


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return {
        "x": rng.normal(size=(11, 1)).astype("float32"),
        "y": rng.normal(size=11).astype("float32"),
    }


def batches(data, batch=4):
    return tf.data.Dataset.from_tensor_slices(data).batch(batch)  # the last has 3 rows


def by_hand(data, weight, *, rate=0.0, l2=0.0, batch=4):
    """Losses and penalties of the batches of an epoch, and the last weight."""
    losses, penalties = [], []
    for start in range(0, 11, batch):
        x = data["x"][start : start + batch, 0].astype("float64")
        y = data["y"][start : start + batch].astype("float64")
        losses.append(sum((weight * x - y) ** 2))
        penalties.append(l2 * weight**2)
        weight -= rate * (sum(2 * (weight * x - y) * x) + 2 * l2 * weight)
    return losses, penalties, weight


@pytest.mark.parametrize("eagerly", [True, False])
@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_training_and_validation_report_means_over_the_epoch(data, eagerly, l2):
    model = Linear(l2)
    model.compile(tf.keras.optimizers.SGD(0.02), run_eagerly=eagerly)
    history = model.fit(
        batches(data), validation_data=batches(data, 5), epochs=2, verbose=0
    ).history
    weight = 1.0
    for epoch in range(2):
        losses, penalties, weight = by_hand(data, weight, rate=0.02, l2=l2)
        of_validation, its_penalties, _ = by_hand(data, weight, l2=l2, batch=5)
        expected = {
            "loss": np.mean(losses),
            "regularization_loss": np.mean(penalties),
            "total_loss": np.mean(losses) + np.mean(penalties),
            "val_loss": np.mean(of_validation),
            "val_regularization_loss": np.mean(its_penalties),
            "val_total_loss": np.mean(of_validation) + np.mean(its_penalties),
        }
        assert history.keys() == expected.keys()
        for name, value in expected.items():
            assert history[name][epoch] == pytest.approx(value, rel=1e-4), name
    assert model.weight == pytest.approx(weight, rel=1e-4)


@pytest.mark.parametrize(
    "mixed_policy", ["mixed_float16", "mixed_bfloat16"], indirect=True
)
def test_mixed_precision_trains_like_single_precision(data, mixed_policy):
    model = Linear(0.1)
    optimizer = tf.keras.optimizers.SGD(0.02)
    if mixed_policy == "mixed_float16":  # Keras's own scale skips the first steps here
        optimizer = tf.keras.mixed_precision.LossScaleOptimizer(
            optimizer, initial_scale=64.0
        )
    model.compile(optimizer)
    history = model.fit(batches(data), epochs=1, verbose=0).history
    losses, _, weight = by_hand(data, 1.0, rate=0.02, l2=0.1)
    assert history["loss"] == pytest.approx([np.mean(losses)], rel=0.02)
    assert model.weight == pytest.approx(weight, rel=0.02)
    assert model.dense.kernel.dtype == tf.float32


@pytest.mark.usefixtures("mixed_policy")
@pytest.mark.parametrize("mixed_policy", ["mixed_float16"], indirect=True)
def test_gradients_too_small_for_float16_are_scaled_up():
    features = {"x": tf.constant([[1e-4]]), "y": tf.constant([5e-4 + 1e-4])}

    class Half(Linear):
        def compute_loss(self, features, training=False):
            return 1e-4 * super().compute_loss(features, training)  # gradient 1e-11

    model = Half()
    model.compile(tf.keras.optimizers.SGD(1e9))
    model.train_step(features)
    assert model.weight == pytest.approx(1 + 1e9 * 1e-4 * 2 * 5e-4 * 1e-4, rel=0.01)


@pytest.mark.usefixtures("mixed_policy")
@pytest.mark.parametrize("mixed_policy", ["mixed_float16"], indirect=True)
def test_a_gradient_that_overflows_lowers_the_scale_and_changes_nothing():
    model = Linear()
    optimizer = tf.keras.mixed_precision.LossScaleOptimizer(
        tf.keras.optimizers.SGD(0.1), initial_scale=2.0**40
    )
    model.compile(optimizer)
    model.train_step({"x": tf.constant([[2.0]]), "y": tf.constant([1.0])})
    assert model.weight == 1.0
    assert float(optimizer.loss_scale) == 2.0**39


STRUCTURES = {
    "a dict": (lambda x, y: {"x": x, "y": y}, lambda f: f, "x"),
    "features and labels": (
        lambda x, y: ({"x": x}, y),
        lambda f: {"x": f[0]["x"], "y": f[1]},
        "x",
    ),
    "a nested dict": (
        lambda x, y: {"user": {"x": x}, "y": y},
        lambda f: {"x": f["user"]["x"], "y": f["y"]},
        "user/x",
    ),
    "a ragged feature": (
        lambda x, y: {"x": tf.RaggedTensor.from_row_lengths(x[:, 0], [1] * 11), "y": y},
        lambda f: {"x": f["x"].to_tensor(), "y": f["y"]},
        "x",
    ),
}


@pytest.mark.parametrize(
    ("structure", "bad"), [*((name, np.nan) for name in STRUCTURES), ("a dict", np.inf)]
)
@pytest.mark.parametrize("how", ["fit", "evaluate", "fit eagerly"])
def test_a_feature_that_is_not_finite_is_named_and_no_weight_changes(
    data, structure, bad, how
):
    pack, unpack, name = STRUCTURES[structure]

    class Tolerant(Linear):  # a loss that hides what is wrong with its input
        def compute_loss(self, features, training=False):
            loss = super().compute_loss(unpack(features), training)
            return tf.where(tf.math.is_finite(loss), loss, 0.0)

    data["x"][9] = bad
    model = Tolerant()
    model.compile("sgd", run_eagerly="eagerly" in how)
    model.dense.build((None, 1))
    dataset = tf.data.Dataset.from_tensors(pack(data["x"], data["y"]))
    run = model.evaluate if how == "evaluate" else model.fit
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=rf"Feature `.*{name}` is not"
    ):
        run(dataset, verbose=0)
    assert model.weight == 1.0


OVERFLOWS = {
    "with its gradient": lambda loss: loss * 1e38 * 1e38,
    "while its gradient is finite": lambda loss: loss + np.inf,
}


@pytest.mark.parametrize("eagerly", [True, False])
@pytest.mark.parametrize("overflow", OVERFLOWS)
def test_a_loss_that_is_not_finite_stops_before_it_changes_a_weight(
    data, overflow, eagerly
):
    class Overflowing(Linear):
        def compute_loss(self, features, training=False):
            return OVERFLOWS[overflow](super().compute_loss(features, training))

    model = Overflowing()
    model.compile(tf.keras.optimizers.SGD(0.1), run_eagerly=eagerly)
    with pytest.raises(tf.errors.InvalidArgumentError, match="loss is not finite"):
        model.fit(batches(data), verbose=0)
    assert model.weight == 1.0


def test_the_step_is_tfrs_own_contract(data):
    assert issubclass(tfrs_models.Model, tfrs.Model)
    model = Linear()
    model.compile("sgd")
    results = model.train_step(data)
    assert {"loss", "regularization_loss", "total_loss"} <= results.keys()


def test_metrics_of_a_model_are_reported_beside_the_losses(data):
    class WithMetric(Linear):
        def __init__(self):
            super().__init__()
            self.largest = tf.keras.metrics.Mean("largest")

        def compute_loss(self, features, training=False):
            self.largest.update_state(tf.reduce_max(features["y"]))
            return super().compute_loss(features, training)

    model = WithMetric()
    model.compile("sgd")
    results = model.evaluate(batches(data), verbose=0, return_dict=True)
    expected = np.mean([data["y"][start : start + 4].max() for start in (0, 4, 8)])
    assert results["largest"] == pytest.approx(expected)


def test_several_steps_in_one_execution_are_the_same_steps(data):
    weights = []
    for steps in (1, 3):
        model = Linear()
        model.compile(tf.keras.optimizers.SGD(0.02), steps_per_execution=steps)
        history = model.fit(batches(data), verbose=0).history
        weights.append((model.weight, history["loss"][0]))
    assert weights[0] == pytest.approx(weights[1])


def test_a_call_without_labels_does_not_make_it_forget_them(data):
    class Scores(Linear):
        def call(self, features):
            return self.dense(features["x"])

    model = Scores()
    model.compile(tf.keras.optimizers.SGD(0.02))
    model.fit(batches(data), verbose=0)
    model({"x": data["x"]})
    assert model.get_build_config()["features"].keys() == {"x", "y"}


def test_evaluate_lists_what_upstream_lists_in_upstreams_order(data):
    def model(base):
        class Named(base):
            def __init__(self):
                super().__init__()
                if hasattr(self, "reported_metrics"):
                    self.of_ours = UnsavedMean("of_ours")
                self.first = tf.keras.metrics.Mean("z_first")
                self.second = tf.keras.metrics.Mean("a_second")

            def compute_loss(self, features, training=False):
                del training
                self.first.update_state(1.0)
                self.second.update_state(2.0)
                return tf.reduce_sum(features["y"])

        made = Named()
        made.compile()
        return made

    one = tf.data.Dataset.from_tensors(data)
    expected = model(tfrs.Model).evaluate(one, verbose=0)
    made = model(tfrs_models.Model)
    np.testing.assert_allclose(made.evaluate(one, verbose=0)[:-1], expected, rtol=1e-6)
    assert made.metrics_names[-1] == "of_ours"


def test_an_imputed_feature_is_named_with_the_switch_that_lets_it_pass(data):
    class Imputing(Linear):
        def compute_loss(self, features, training=False):
            x = tf.where(tf.math.is_nan(features["x"]), 0.0, features["x"])
            return super().compute_loss({**features, "x": x}, training)

    data["x"][3] = np.nan
    model = Imputing()
    model.compile("sgd")
    switch = r"model\.nan_features = frozenset\(\{'x'\}\)"
    with pytest.raises(tf.errors.InvalidArgumentError, match=switch):
        model.fit(batches(data), verbose=0)
    model.nan_features = frozenset({"x"})
    assert np.isfinite(model.fit(batches(data), verbose=0).history["loss"][0])


class Twice(tfrs_models.Model):
    """Calls a layer twice in a step, and adds a loss of its own."""

    def __init__(self):
        super().__init__()
        self.dense = tf.keras.layers.Dense(
            1,
            use_bias=False,
            kernel_initializer="ones",
            activity_regularizer=tf.keras.regularizers.L2(0.1),
        )

    def compute_loss(self, features, training=False):
        del training
        self.add_loss(tf.reduce_mean(features["y"]))
        found = self.dense(features["x"]) - self.dense(features["x"] * 3)
        return tf.reduce_sum(found)


@pytest.mark.parametrize("eagerly", [True, False])
def test_what_every_call_of_a_layer_costs_adds_up(data, eagerly):
    model = Twice()
    model.compile(tf.keras.optimizers.SGD(0.01), run_eagerly=eagerly)
    x, y = data["x"].astype("float64"), data["y"]
    penalty = 0.1 * (np.mean(x**2) + np.mean((3 * x) ** 2)) + np.mean(y)
    gradient = sum(x - 3 * x) + 0.1 * 2 * (np.mean(x**2) + np.mean((3 * x) ** 2))
    whole = batches(data, 11)
    found = model.evaluate(whole, verbose=0, return_dict=True)["regularization_loss"]
    assert found == pytest.approx(penalty, rel=1e-5)
    found = model.fit(whole, verbose=0).history["regularization_loss"]
    assert found == pytest.approx([penalty], rel=1e-5)
    expected = 1 - 0.01 * gradient
    np.testing.assert_allclose(model.dense.kernel[0], expected, rtol=1e-5)


class Reads(tfrs_models.Model):
    """Keeps the rows of every step."""

    def __init__(self):
        super().__init__()
        self.weight = tf.Variable(0.0)
        self.rows = []

    def compute_loss(self, features, training=False):
        del training
        self.rows.append(features["row"].numpy().tolist())
        return self.weight * 0.0


@pytest.mark.parametrize("passed", [0, 1, 3])
def test_a_restored_epoch_has_the_order_of_its_number(tmp_path, passed):
    """As `BackupAndRestore` goes on with it, in another process."""

    class Stop(Exception):
        pass

    def read(stop=None):
        model = Reads()
        model.compile("sgd", run_eagerly=True)
        model.built = True

        def begin(epoch, _):
            if epoch == stop:
                raise Stop

        rows = row_batches(8, 3, shuffle=True, seed=5)
        batches = rows.map(lambda row: {"row": row})
        saved = tf.keras.callbacks.BackupAndRestore(
            str(tmp_path / "saved"), delete_checkpoint=False
        )
        ends = tf.keras.callbacks.LambdaCallback(on_epoch_begin=begin)
        with contextlib.suppress(Stop):
            callbacks = [ends] if stop is None else [saved, ends]
            model.fit(batches, epochs=5, verbose=0, callbacks=callbacks)
        return model.rows

    whole = read()
    assert len(set(map(str, whole))) > 6  # every epoch has another order
    before = read(stop=passed)
    assert before == whole[: 3 * passed]
    assert read(stop=-1) == whole[3 * passed :]
