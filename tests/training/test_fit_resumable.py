"""A training that was interrupted anywhere ends as one that was not."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
import tensorflow as tf

import tfrs_models as tm
from tfrs_models.training import fit_resumable, read_state

RNG = np.random.default_rng(3)
ROWS = {
    "user_id": RNG.integers(1, 12, size=20),
    "item_id": RNG.integers(1, 30, size=20),
}
HELD_OUT = {
    "user_id": RNG.integers(1, 12, size=13),
    "item_id": RNG.integers(1, 30, size=13),
}
STEPS, EPOCHS = 3, 3  # 20 rows in batches of 8
MOMENT = 1e-9  # minutes: a state after each batch


class StopError(Exception):
    """A training is interrupted."""


class StopAt(tf.keras.callbacks.Callback):
    """Does something at the n-th call of a method; by default it raises an error."""

    def __init__(self, method, call, action=None):
        super().__init__()
        self.left = call

        def reached(*_):
            self.left -= 1
            if self.left == 0:
                if action is None:
                    raise StopError
                action()

        setattr(self, method, reached)


class Batches(tf.keras.callbacks.Callback):
    """Counts the batches that were trained, by their metrics."""

    def __init__(self):
        super().__init__()
        self.trained = self.evaluated = 0

    def on_train_batch_end(self, *_):
        self.trained += 1

    def on_test_batch_end(self, *_):
        self.evaluated += 1


def batches(*, repeat=False, known_size=True):
    dataset = tf.data.Dataset.from_tensor_slices(ROWS).shuffle(100, seed=7)
    dataset = (dataset.repeat() if repeat else dataset).batch(8)
    return dataset if known_size else dataset.filter(lambda _: True)


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
    corpus = tf.data.Dataset.from_tensor_slices({"item_id": np.arange(1, 31)})
    model.task.factorized_metrics = tm.metrics.FactorizedTopK(
        model.embed_candidates(corpus.batch(10)), ks=(3,)
    )
    rate = tf.keras.optimizers.schedules.CosineDecay(0.1, STEPS * EPOCHS)
    model.compile(tf.keras.optimizers.Adam(rate), run_eagerly=eager)
    return model, [
        tm.training.StopOnMetric("val_loss", patience=2),
        tm.training.AccumulateMetrics(["val_loss"], window=2),
    ]


def with_loss_scale(eager):
    model = two_tower()
    optimizer = tf.keras.mixed_precision.LossScaleOptimizer(
        tf.keras.optimizers.SGD(0.3, momentum=0.9),
        initial_scale=8,
        dynamic_growth_steps=4,
    )
    model.compile(optimizer, run_eagerly=eager)
    return model, [
        tf.keras.callbacks.ReduceLROnPlateau("val_loss", 0.5, patience=0, cooldown=1),
        tf.keras.callbacks.LearningRateScheduler(lambda _, rate: 0.9 * rate),
    ]


KINDS = {"schedule": with_schedule, "loss scale": with_loss_scale}


def train(
    kind,
    folder,
    *,
    stop=None,
    eager=True,
    resume=False,
    epochs=EPOCHS,
    more=(),
    identity=None,
    known_size=True,
    **options,
):
    """Trains a model; returns it with its history, None if it was interrupted."""
    model, callbacks = KINDS[kind](eager)
    if stop is not None:
        callbacks.append(StopAt(*stop))
    data = batches(repeat="steps_per_epoch" in options, known_size=known_size)
    try:
        history = fit_resumable(
            model,
            data,
            folder=folder,
            identity={"kind": kind} if identity is None else identity,
            resume=resume,
            epochs=epochs,
            validation_data=tf.data.Dataset.from_tensor_slices(HELD_OUT).batch(8),
            callbacks=[*callbacks, *more],
            **options,
        )
    except StopError:
        return model, None
    return model, history.history


def content(model):
    """All that a next step depends on, as arrays."""
    return [v.numpy() for v in [*model.variables, *model.optimizer.variables]]


def assert_same(found, expected):
    model, history = found
    other, other_history = expected
    for values, of_whole in zip(content(model), content(other), strict=True):
        np.testing.assert_array_equal(values, of_whole)
    assert history == other_history


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The trainings that nothing interrupted."""
    return {kind: train(kind, tmp_path_factory.mktemp("whole")) for kind in KINDS}


STOPS = [
    ("schedule", "on_train_batch_begin", 1),
    ("loss scale", "on_test_begin", 1),
    ("schedule", "on_test_batch_begin", 2),
    ("schedule", "on_epoch_begin", 2),
    ("schedule", "on_train_batch_begin", STEPS + 3),
    ("loss scale", "on_train_batch_begin", STEPS + 2),
    ("loss scale", "on_test_batch_end", 3),
    ("loss scale", "on_train_end", 1),
]


@pytest.mark.parametrize("stop", STOPS, ids=lambda stop: "-".join(map(str, stop)))
def test_a_resumed_training_is_the_one_that_was_not_interrupted(stop, whole, tmp_path):
    kind, *where = stop
    train(kind, tmp_path, stop=where, checkpoint_minutes=MOMENT)
    assert_same(train(kind, tmp_path, resume="auto"), whole[kind])


def test_a_training_in_graphs_is_resumed_in_the_middle_of_an_epoch_and_of_validation(
    tmp_path,
):
    options = {"eager": False, "checkpoint_minutes": MOMENT}
    expected = train("schedule", tmp_path / "whole", **options)
    folder = tmp_path / "stopped"
    train("schedule", folder, stop=("on_train_batch_begin", 2), **options)
    train("schedule", folder, stop=("on_test_batch_end", 1), resume=True, **options)
    assert_same(train("schedule", folder, resume=True, **options), expected)


def test_steps_of_one_iteration_go_on_where_they_were(tmp_path):
    options = {"steps_per_epoch": 2, "checkpoint_minutes": MOMENT}
    expected = train("loss scale", tmp_path / "whole", **options)
    folder = tmp_path / "stopped"
    train("loss scale", folder, stop=("on_train_batch_begin", 4), **options)
    train("loss scale", folder, stop=("on_test_begin", 1), resume=True, **options)
    assert_same(train("loss scale", folder, resume=True, **options), expected)


@pytest.mark.parametrize(
    "where", [("on_train_batch_begin", STEPS + 2), ("on_test_batch_end", 1)]
)
def test_the_number_of_batches_need_not_be_known(tmp_path, where, whole):
    options = {"known_size": False, "checkpoint_minutes": MOMENT}
    train("loss scale", tmp_path, stop=where, **options)
    found = train("loss scale", tmp_path, resume=True, **options)
    assert_same(found, whole["loss scale"])


def test_what_has_been_trained_is_not_trained_again(whole, tmp_path):
    train("schedule", tmp_path, stop=("on_test_batch_end", 1))
    counted = Batches()
    train("schedule", tmp_path, resume=True, more=[counted])
    # One step of the first epoch, that does nothing, and the others whole.
    assert (counted.trained, counted.evaluated) == (1 + 2 * STEPS, 3 * 2)
    counted = Batches()
    again = train("schedule", tmp_path, resume=True, more=[counted])
    assert (counted.trained, counted.evaluated) == (0, 0)
    assert_same(again, whole["schedule"])


def test_a_finished_training_gets_more_epochs(tmp_path, whole):
    train("loss scale", tmp_path, epochs=1)
    assert len(list(tmp_path.iterdir())) == 1
    assert_same(train("loss scale", tmp_path, resume=True), whole["loss scale"])


def test_early_stopping_ends_a_resumed_training_unless_it_waits_longer(tmp_path):
    def run(patience, **options):
        stopping = tf.keras.callbacks.EarlyStopping(
            "val_loss", min_delta=100, patience=patience, restore_best_weights=True
        )
        found = train("loss scale", tmp_path, epochs=5, more=[stopping], **options)
        return found, len(found[1]["loss"])

    first, epochs = run(2)
    assert epochs == 3
    again, epochs = run(2, resume=True)
    assert epochs == 3
    assert_same(again, first)  # the best weights, too
    assert run(3, resume=True)[1] == 4


def test_another_learning_rate_is_that_of_the_new_start(tmp_path, monkeypatch):
    def with_rate(rate):
        def make(eager):
            model = two_tower()
            model.compile(tf.keras.optimizers.SGD(rate), run_eagerly=eager)
            return model, [
                tf.keras.callbacks.ReduceLROnPlateau(
                    "val_loss", min_delta=99, patience=1
                )
            ]

        monkeypatch.setitem(KINDS, "plain", make)

    with_rate(0.5)
    model, _ = train("plain", tmp_path)
    lowered = float(model.optimizer.learning_rate)
    assert lowered < 0.5
    model, _ = train("plain", tmp_path, resume=True)
    assert float(model.optimizer.learning_rate) == lowered
    with_rate(0.25)
    model, _ = train("plain", tmp_path, resume=True)
    assert float(model.optimizer.learning_rate) == 0.25


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("where", ["on_train_batch_begin", "on_test_batch_begin"])
def test_a_signal_waits_for_the_state_of_its_batch(number, where, whole, tmp_path):
    handled = []

    def handler(*_):
        handled.append(read_state(tmp_path).about["step"])
        raise StopError

    before = signal.signal(number, handler)
    try:
        send = StopAt(where, 2, lambda: os.kill(os.getpid(), number))
        _, history = train("loss scale", tmp_path, more=[send])
        assert history is None
        assert handled == [2 if "train" in where else STEPS]
        assert signal.getsignal(number) is handler
    finally:
        signal.signal(number, before)
    assert_same(train("loss scale", tmp_path, resume=True), whole["loss scale"])


def test_a_second_signal_acts_at_once(tmp_path):
    def handler(*_):
        raise StopError

    def twice():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, handler)
    try:
        train("loss scale", tmp_path, more=[StopAt("on_train_batch_begin", 2, twice)])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert read_state(tmp_path) is None


def test_nothing_of_one_training_is_left_for_the_next(tmp_path):
    handlers = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
    model, _ = KINDS["loss scale"](eager=True)
    options = {"identity": {}, "epochs": 1}
    fit_resumable(model, batches(), folder=tmp_path / "1", **options)
    first = content(model)
    fit_resumable(model, batches(), folder=tmp_path / "2", **options)
    assert any((a != b).any() for a, b in zip(first, content(model), strict=True))
    assert len(model.fit(batches(), epochs=2, verbose=0).history["loss"]) == 2
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == handlers


def test_a_training_outside_of_the_main_thread_is_kept_too(tmp_path):
    thread = threading.Thread(target=train, args=("loss scale", tmp_path))
    thread.start()
    thread.join()
    assert read_state(tmp_path).about["epoch"] == EPOCHS


def test_two_states_stay_and_an_older_training_until_there_is_one_of_the_new(tmp_path):
    train("loss scale", tmp_path)
    old = read_state(tmp_path)
    train("loss scale", tmp_path, stop=("on_train_batch_begin", 1))
    assert read_state(tmp_path).about["id"] == old.about["id"]
    train(
        "loss scale",
        tmp_path,
        stop=("on_train_batch_begin", 3),
        checkpoint_minutes=MOMENT,
    )
    states = sorted(int(path.name) for path in tmp_path.iterdir())
    assert states == [int(old.folder.name) + 1, int(old.folder.name) + 2]


def test_what_differs_is_listed(tmp_path):
    identity = {"flags": {"width": 2, "tower": "id"}, "rows": 9}
    train("loss scale", tmp_path, epochs=1, identity=identity)
    other = {"flags": {"width": 3, "tower": "id", "clock": True}}
    with pytest.raises(ValueError, match="`identity` must be that") as refused:
        train("loss scale", tmp_path, resume=True, identity=other)
    for words in (
        "`flags/width` was 2 and is 3",
        "`flags/clock` was not there and is True",
        "`rows` was 9 and is not there",
    ):
        assert words in str(refused.value)
    assert "tower" not in str(refused.value)


def test_a_state_of_another_model_is_refused(tmp_path):
    train("loss scale", tmp_path, epochs=1, identity={})
    model = tf.keras.Sequential([tf.keras.layers.Dense(2)])
    model.build([None, 1])
    model.compile("adam", "mse")
    data = tf.data.Dataset.from_tensors((np.ones([2, 1]), np.ones([2, 2])))
    with pytest.raises(ValueError, match="`model` must be that of the training in"):
        fit_resumable(model, data, folder=tmp_path, identity={}, resume=True, epochs=2)


@pytest.mark.parametrize(
    "name", ["state.index", "arrays.npz", "about.json", "hashes.json"]
)
def test_a_damaged_state_is_named_and_the_one_before_it_taken_if_wished(name, tmp_path):
    options = {"stop": ("on_train_batch_begin", 3), "checkpoint_minutes": MOMENT}
    train("loss scale", tmp_path, **options)
    newest = read_state(tmp_path)
    path = newest.folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="fall_back=True") as refused:
        train("loss scale", tmp_path, resume=True)
    assert str(newest.folder) in str(refused.value)
    with pytest.warns(UserWarning, match="the state before, is taken"):
        state = read_state(tmp_path, fall_back=True)
    assert state.about["step"] == newest.about["step"] - 1
    shutil.rmtree(state.folder)
    with pytest.raises(ValueError, match="Begin anew"):
        read_state(tmp_path)


def test_a_model_of_keras_goes_on_too(tmp_path):
    rng = np.random.default_rng(0)
    pairs = rng.normal(size=[9, 2]), rng.normal(size=[9, 1])

    def run(folder, **options):
        tf.keras.utils.set_random_seed(0)
        model = tf.keras.Sequential([tf.keras.layers.Dense(1)])
        model.compile("adam", "mse")
        data = tf.data.Dataset.from_tensor_slices(pairs).batch(4)
        options |= {"folder": folder, "identity": {}, "checkpoint_minutes": MOMENT}
        with contextlib.suppress(StopError):
            fit_resumable(model, data, epochs=2, **options)
        return content(model)

    expected = run(tmp_path / "whole")
    run(tmp_path / "stopped", callbacks=[StopAt("on_train_batch_begin", 3)])
    found = run(tmp_path / "stopped", resume=True)
    for values, of_whole in zip(found, expected, strict=True):
        np.testing.assert_array_equal(values, of_whole)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"resume": True}, "`folder` must have a state to resume"),
        ({"resume": "maybe"}, '`resume` must be True, False or "auto". Got'),
        ({"checkpoint_minutes": 0}, "`checkpoint_minutes` must be positive. Got 0"),
        ({"folder": "gs://bucket/states"}, "`folder` must be a folder of this machine"),
    ],
)
def test_wrong_arguments_are_named(tmp_path, changes, words):
    model, _ = KINDS["loss scale"](eager=True)
    options = {"folder": tmp_path, "identity": {}, "epochs": 1} | changes
    with pytest.raises(ValueError, match=words):
        fit_resumable(model, batches(), **options)
    with pytest.raises(ValueError, match="`batches` must be a tf.data.Dataset"):
        fit_resumable(model, ROWS, folder=tmp_path, identity={}, epochs=1)


def test_a_model_that_was_killed_goes_on_in_another_process(whole, tmp_path):
    command = [sys.executable, __file__, str(tmp_path)]
    killed = subprocess.run([*command, "kill"], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert read_state(tmp_path / "states").about["step"] == 2
    subprocess.run(command, capture_output=True, check=True)
    with np.load(tmp_path / "content.npz") as arrays:
        found = [arrays[name] for name in arrays.files]
    for values, of_whole in zip(found, content(whole["schedule"][0]), strict=True):
        np.testing.assert_array_equal(values, of_whole)


if __name__ == "__main__":
    # One training of a process that is killed in its second epoch, or goes on.
    output = pathlib.Path(sys.argv[1])
    kill = StopAt(
        "on_train_batch_begin",
        STEPS + 3 if "kill" in sys.argv else -1,
        lambda: os.kill(os.getpid(), signal.SIGKILL),
    )
    trained, _ = train(
        "schedule",
        output / "states",
        resume="auto",
        more=[kill],
        checkpoint_minutes=MOMENT,
    )
    np.savez(output / "content.npz", *content(trained))
