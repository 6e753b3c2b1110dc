"""Curves, flags and figures reach the trackers."""

import dataclasses
import sys
import types
from pathlib import Path

import pytest
import tensorflow as tf

from pipelines.parts.flags import first_problem
from pipelines.parts.tracking import TrackingConfig, flat, tracked


@dataclasses.dataclass(frozen=True)
class Flags(TrackingConfig):
    """Flags of a pipeline."""

    epochs: int = 3
    output: Path = Path("artifacts")


class Recorder:
    """Stands in for a package that tracks: notes what it is told."""

    def __init__(self):
        self.flags, self.metrics, self.ended, self.name = {}, {}, None, None

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.ended = "failed" if kind else "finished"


@pytest.fixture
def mlflow(monkeypatch):
    recorder = Recorder()
    module, keras = types.ModuleType("mlflow"), types.ModuleType("mlflow.tensorflow")
    module.__spec__ = types.SimpleNamespace(name="mlflow")
    module.active_run = lambda: None
    module.log_params = recorder.flags.update
    module.log_metrics = recorder.metrics.update
    module.tensorflow = keras
    keras.MlflowCallback = tf.keras.callbacks.Callback

    def start_run(run_name, nested):
        recorder.name, recorder.is_nested = run_name, nested
        return recorder

    module.start_run = start_run
    monkeypatch.setitem(sys.modules, "mlflow", module)
    monkeypatch.setitem(sys.modules, "mlflow.tensorflow", keras)
    return recorder


@pytest.fixture
def wandb(monkeypatch):
    recorder = Recorder()
    recorder.summary = recorder.metrics
    modules = {
        name: types.ModuleType(name)
        for name in ("wandb", "wandb.integration", "wandb.integration.keras")
    }
    modules["wandb"].__spec__ = types.SimpleNamespace(name="wandb")
    modules["wandb.integration.keras"].WandbMetricsLogger = tf.keras.callbacks.Callback

    def init(project, name, config):
        recorder.name, recorder.flags = name, config
        recorder.project = project
        return recorder

    modules["wandb"].init = init
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return recorder


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_flags_and_figures_reach_a_tracker(name, request):
    recorder = request.getfixturevalue(name)
    flags = Flags(log_to=(name,), epochs=7)
    assert first_problem(flags) is None
    figures = {"NDCG@10": 0.25, "slices": {"cold": 0.5}, "none": None, "yes": True}
    with tracked(flags, "ranking", "id, seed 3") as trackers:
        assert len(trackers.callbacks) == 1
        trackers.log(figures | {"nan": float("nan")})
    assert recorder.metrics == {"test/NDCG 10": 0.25, "test/slices/cold": 0.5}
    assert recorder.flags["epochs"] == "7"
    assert recorder.name == "ranking id, seed 3"
    assert recorder.ended == "finished"


def test_a_training_that_fails_is_marked(mlflow):
    with (
        pytest.raises(KeyboardInterrupt),
        tracked(Flags(log_to=("mlflow",)), "ranking"),
    ):
        raise KeyboardInterrupt
    assert mlflow.ended == "failed"


def test_tensorboard_gets_curves_and_test_figures(tmp_path):
    model = tf.keras.Sequential([tf.keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    x = tf.ones([4, 2])
    with tracked(Flags(output=tmp_path), "retrieval", "a/b") as trackers:
        model.fit(x, x[:, :1], epochs=2, verbose=0, callbacks=trackers.callbacks)
        trackers.log({"mrr": 0.125})
    found = {}
    for path in (tmp_path / "logs" / "a b").rglob("events*"):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                number = tf.make_ndarray(value.tensor)
                found.setdefault((path.parent.name, value.tag), []).append(number)
    assert len(found["train", "epoch_loss"]) == 2
    assert found["test", "mrr"] == [0.125]


def test_no_tracker_makes_no_callback(tmp_path):
    with tracked(Flags(log_to=(), output=tmp_path), "retrieval") as trackers:
        trackers.log({"mrr": 0.5})
    assert trackers.callbacks == []
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_and_an_unknown_tracker_are_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert "pip install wandb" in first_problem(Flags(log_to=("wandb",)))
    assert "must be of" in first_problem(Flags(log_to=("paper",)))


def test_flags_within_flags_have_their_path():
    assert flat({"a": {"b": {"c": 1}}, "d": 2}) == {"a/b/c": 1, "d": 2}
