"""A training that was interrupted anywhere ends as one that was not."""

import numpy as np
import pytest
import tensorflow as tf

import tfrs_models as tm
from tfrs_models.training import fit_resumable

RNG = np.random.default_rng(3)
ROWS = {
    "user_id": RNG.integers(1, 12, size=44),
    "item_id": RNG.integers(1, 30, size=44),
}
HELD_OUT = {
    "user_id": RNG.integers(1, 12, size=17),
    "item_id": RNG.integers(1, 30, size=17),
}
STEPS, EPOCHS = 6, 4  # 44 rows in batches of 8


class StopError(Exception):
    """A training is interrupted."""


class StopAt(tf.keras.callbacks.Callback):
    """Interrupts a training, at the n-th call of a method."""

    def __init__(self, method, call):
        super().__init__()
        self.left = call

        def reached(*_):
            self.left -= 1
            if self.left == 0:
                raise StopError

        setattr(self, method, reached)


def batches(repeat=False):
    dataset = tf.data.Dataset.from_tensor_slices(ROWS).shuffle(100, seed=7)
    return (dataset.repeat() if repeat else dataset).batch(8)


def corpus():
    return tf.data.Dataset.from_tensor_slices({"item_id": np.arange(1, 31)}).batch(10)


def two_tower():
    tf.keras.utils.set_random_seed(1)
    return tm.models.TwoTower(
        tm.towers.UserId(30, 4),
        tm.towers.UserId(31, 4, feature="item_id"),
        frequency_estimator=tm.layers.FrequencyEstimator(64),
        task=tm.tasks.Retrieval(temperature=0.2, queue=tm.layers.CandidateQueue(16, 4)),
    )


def with_schedule(eager):
    model = two_tower()
    model.task.factorized_metrics = tm.metrics.FactorizedTopK(
        model.embed_candidates(corpus()), ks=(3,)
    )
    rate = tf.keras.optimizers.schedules.CosineDecay(0.1, STEPS * EPOCHS)
    model.compile(tf.keras.optimizers.Adam(rate), run_eagerly=eager)
    callbacks = [
        tm.training.StopOnMetric("val_loss", patience=1),
        tm.training.AccumulateMetrics(["val_loss"], window=2),
    ]
    return model, callbacks


def with_loss_scale(eager):
    model = two_tower()
    optimizer = tf.keras.mixed_precision.LossScaleOptimizer(
        tf.keras.optimizers.SGD(0.3, momentum=0.9),
        initial_scale=8,
        dynamic_growth_steps=5,
    )
    model.compile(optimizer, run_eagerly=eager)
    callbacks = [
        tf.keras.callbacks.ReduceLROnPlateau("val_loss", 0.5, patience=0, cooldown=1),
        tf.keras.callbacks.LearningRateScheduler(lambda _, rate: 0.9 * rate),
    ]
    return model, callbacks


KINDS = {"schedule": with_schedule, "loss scale": with_loss_scale}


def train(
    kind, folder, *, stop=None, resume=False, epochs=EPOCHS, eager=True, **options
):
    model, callbacks = KINDS[kind](eager)
    if stop is not None:
        callbacks.append(StopAt(*stop))
    history = None
    try:
        history = fit_resumable(
            model,
            batches(repeat="steps_per_epoch" in options),
            folder=folder,
            identity={"kind": kind},
            resume=resume,
            epochs=epochs,
            validation_data=tf.data.Dataset.from_tensor_slices(HELD_OUT).batch(8),
            callbacks=callbacks,
            **options,
        ).history
    except StopError:
        assert stop is not None
    return model, history


def content(model):
    """All that a next step depends on, as arrays."""
    return [v.numpy() for v in [*model.variables, *model.optimizer.variables]]


def assert_same(model, history, expected):
    other, other_history = expected
    now, then = content(model), content(other)
    for values, of_whole in zip(now, then, strict=True):
        np.testing.assert_array_equal(values, of_whole)
    assert history == other_history


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The trainings that nothing interrupted."""
    return {kind: train(kind, tmp_path_factory.mktemp("whole")) for kind in KINDS}


STOPS = [
    ("on_train_batch_begin", 1),
    ("on_train_batch_end", 1),
    ("on_train_batch_end", 4),
    ("on_train_batch_end", STEPS),
    ("on_test_batch_begin", 2),
    ("on_epoch_end", 1),
    ("on_epoch_begin", 2),
    ("on_train_batch_begin", 2 * STEPS + 2),
    ("on_test_batch_end", 7),
    ("on_epoch_end", EPOCHS),
    ("on_train_end", 1),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stop", STOPS, ids=lambda stop: "-".join(map(str, stop)))
def test_a_resumed_training_is_the_one_that_was_not_interrupted(
    kind, stop, whole, tmp_path
):
    train(kind, tmp_path, stop=stop, checkpoint_minutes=1e-9)  # after each batch
    resumed = train(kind, tmp_path, resume="auto")
    assert_same(*resumed, whole[kind])
