"""`tf.keras` is Keras 2 in every process that uses layers of ours, or it says why."""

import os
import subprocess
import sys
from importlib import metadata

import pytest

from tfrs_models._keras import check_built_for

PLAIN = """
import sys, tfrs_models as tm
assert not {"tensorflow", "numpy"} & sys.modules.keys()
assert {"Model", "layers"} <= set(dir(tm)), "names that nobody has used yet"
import pandas as pd
import tensorflow as tf
rows = pd.DataFrame({"user_id": range(30), "item_id": range(30)}) % [5, 7]
data = tm.data.from_frame(rows, split="random")
item_knn = tm.baselines.ItemKNN().fit(data)
table = tm.metrics.rank_scores(item_knn.score, data.splits["test"])
assert 0 <= table.values("ndcg_at_10").mean() <= 1
assert "tfrs_models._keras" not in sys.modules
"""
PROGRAMS = {
    "tfrs_models first": ("import tfrs_models, tensorflow as tf", {}),
    "tensorflow first": ("import tensorflow as tf, tfrs_models", {}),
    "chosen beforehand": (
        "import tensorflow as tf; tf.keras.layers.Dense; import tfrs_models.layers",
        {"TF_USE_LEGACY_KERAS": "1"},
    ),
    "data and baselines first": (PLAIN, {}),
    "Keras 3 already there": (
        "import tensorflow as tf; tf.keras.layers.Dense; import tfrs_models as tm\n"
        "tm.layers",
        {},
    ),
    "Keras 3 chosen beforehand": (
        "import tensorflow as tf; from tfrs_models.metrics import NDCG",
        {"TF_USE_LEGACY_KERAS": "0"},
    ),
}


@pytest.fixture(scope="module")
def outcomes():
    """Exit code, output and errors of every program; they run side by side."""
    environment = {k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"}
    check = "assert tf.keras.layers.Layer.__module__.startswith('tf_keras')"
    running = {
        name: subprocess.Popen(
            [sys.executable, "-c", f"{program}\n{check}\nprint('Keras 2')"],
            env=environment | extra,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name, (program, extra) in PROGRAMS.items()
    }
    out = {
        name: (p.communicate(timeout=300), p.returncode) for name, p in running.items()
    }
    return {name: (code, *texts) for name, (texts, code) in out.items()}


@pytest.mark.parametrize(
    "name",
    [
        "tfrs_models first",
        "tensorflow first",
        "chosen beforehand",
        "data and baselines first",
    ],
)
def test_keras_2_is_bound_whatever_is_imported_first(outcomes, name):
    code, output, errors = outcomes[name]
    assert (code, output.strip()) == (0, "Keras 2"), errors


@pytest.mark.parametrize("name", ["Keras 3 already there", "Keras 3 chosen beforehand"])
def test_keras_3_is_refused_with_the_line_that_mends_it(outcomes, name):
    code, _, errors = outcomes[name]
    assert code == 1
    last = errors.strip().splitlines()[-1]
    assert last.startswith("ImportError: tfrs_models needs `tf.keras` to be Keras 2")
    assert 'os.environ["TF_USE_LEGACY_KERAS"] = "1"' in last


def packages(monkeypatch, **requirements):
    """Makes packages appear installed at version 1.2.3, with what they require."""

    def requires(name):
        if name not in requirements:
            raise metadata.PackageNotFoundError(name)
        return requirements[name]

    monkeypatch.setattr(metadata, "requires", requires)
    monkeypatch.setattr(metadata, "version", lambda _: "1.2.3")


@pytest.mark.parametrize(
    ("tensorflow", "tf_keras"),
    [
        ("2.20.0", ["tensorflow<2.21,>=2.20"]),
        ("2.21.1", ["tensorflow<2.22,>=2.21"]),
        ("2.21.0rc1", ["tensorflow<2.22,>=2.21"]),
        ("2.22.0.dev20261201", None),  # built from source, without requirements
    ],
)
def test_what_was_made_for_one_another_is_accepted(monkeypatch, tensorflow, tf_keras):
    packages(monkeypatch, tf_keras=tf_keras)  # and no ScaNN
    check_built_for(tensorflow)


def test_a_tf_keras_of_another_tensorflow_is_named_with_the_one_to_install(
    monkeypatch,
):
    packages(monkeypatch, tf_keras=["tensorflow<2.21,>=2.20"])
    with pytest.raises(
        ImportError,
        match=r"tf_keras 1.2.3 goes with TensorFlow .*2.20.* only, and TensorFlow "
        r"2.21.0 is installed.*pip install 'tf_keras==2.21.\*'",
    ):
        check_built_for("2.21.0")


def test_a_scann_of_another_tensorflow_is_named_before_its_operations_fail_to_load(
    monkeypatch,
):
    packages(
        monkeypatch,
        tf_keras=["tensorflow<2.22,>=2.21"],
        scann=["numpy~=2.0", 'tensorflow~=2.20.0; extra == "tf"'],
    )
    with pytest.raises(
        ImportError,
        match=r"scann 1.2.3 goes with TensorFlow ~=2.20.0 only, and TensorFlow 2.21.0 "
        r".*pip uninstall scann",
    ):
        check_built_for("2.21.0")


def test_without_tf_keras_its_right_version_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tf_keras", None)
    with pytest.raises(
        ImportError, match=r"not installed.*pip install 'tf_keras==2.21.\*'"
    ):
        check_built_for("2.21.0")
