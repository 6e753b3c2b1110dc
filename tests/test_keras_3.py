"""Keras 3 in a process where `tf.keras` is Keras 2: beside our models, not in them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import tfrs_models as tm

keras = pytest.importorskip("keras", minversion="3")

BATCH = {"x": np.random.default_rng(0).normal(size=(6, 3)).astype("float32")}


class Tower(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(4)

    def call(self, features):
        return self.dense(features["x"])


class Wrapper(tf.keras.layers.Layer):
    """A layer of Keras 2 that keeps another where Keras 2 does not look for weights."""

    def __init__(self, tower):
        super().__init__()
        self.towers = {"of the query": [tower]}

    def call(self, features):
        return self.towers["of the query"][0](features)


class Module(tf.Module):
    def __init__(self, tower):
        super().__init__()
        self.tower = tower


class Model(tm.Model):
    def __init__(self, tower):
        super().__init__()
        self.tower = tower

    def compute_loss(self, features, training=False):
        del training
        return tf.reduce_mean(self.tower(features) ** 2)


def tower_of_keras_2():
    return tf.keras.layers.Lambda(lambda features: features["x"])


@pytest.mark.parametrize(
    "make",
    [
        Model,
        lambda tower: Model([tower]),
        lambda tower: Model((tower_of_keras_2(), {"a": tower})),
        lambda tower: Model(Wrapper(tower)),
        lambda tower: Model(Wrapper(Wrapper(tower))),
        lambda tower: Model(Module(tower)),
    ],
)
def test_a_layer_of_keras_3_is_refused_wherever_a_model_holds_it(make):
    with pytest.raises(TypeError, match=r"`tower` of `Model` must be.*Got `Tower` of"):
        make(Tower())


@pytest.mark.parametrize("unit_norm", [True, False])
@pytest.mark.parametrize("side", [0, 1])
def test_towers_are_refused_by_the_name_of_their_argument(side, unit_norm):
    towers = [tower_of_keras_2(), tower_of_keras_2()]
    towers[side] = keras.Sequential([keras.layers.Dense(4)])
    name = ("query_tower", "candidate_tower")[side]
    with pytest.raises(
        TypeError,
        match=rf"`{name}` of `TwoTower` must be made of Keras 2. Got `Sequential` of "
        r"Keras 3 .*`tf.keras`.*losses.sampled_softmax",
    ):
        tm.models.TwoTower(*towers, unit_norm=unit_norm)


class Late(tf.keras.layers.Layer):
    """A layer that makes its tower when it is first called."""

    def build(self, shape):
        super().build(shape)
        self.tower = {"late": Tower()}

    def call(self, features):
        return self.tower["late"](features)


def test_a_layer_of_keras_3_that_is_made_later_is_refused_by_the_first_step():
    model = Model(Late())
    model.compile(tf.keras.optimizers.SGD())
    with pytest.raises(TypeError, match="`layers` of `Model` .*Got `Tower` of Keras 3"):
        model.train_on_batch(BATCH)


def test_optimizers_and_callbacks_of_keras_3_are_refused():
    model = Model(tower_of_keras_2())
    with pytest.raises(TypeError, match="`optimizer` of `compile` .*Got `Adam` of"):
        model.compile(keras.optimizers.Adam())
    model.compile(tf.keras.optimizers.SGD())
    batches = tf.data.Dataset.from_tensors(BATCH)
    stopping = keras.callbacks.EarlyStopping("loss")
    with pytest.raises(TypeError, match="`callbacks` of `fit` .*Got `EarlyStopping`"):
        model.fit(batches, callbacks=[stopping])


def test_layers_of_keras_2_are_accepted_wherever_they_are():
    model = Model(Wrapper(Wrapper(tower_of_keras_2())))
    model.compile(tf.keras.optimizers.SGD())
    model.train_on_batch(BATCH)


@pytest.mark.parametrize("kind", ["BruteForce", "IVF"])
def test_an_index_takes_a_query_tower_of_keras_3(kind):
    tower = Tower()
    items = np.random.default_rng(1).normal(size=(20, 4)).astype("float32")
    index = getattr(tm.layers, kind)(tower, k=3).index(items)
    expected = np.argsort(-(tower(BATCH).numpy() @ items.T))[:, :3]
    np.testing.assert_array_equal(index(BATCH)[1], expected)


@pytest.fixture(scope="module")
def keras_3_first():
    """What a program found that imports Keras 3 first, in a process of its own."""
    environment = {k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.keras_3_first"],
        cwd=Path(__file__).parents[1],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_imported_first_keras_3_is_there_and_tf_keras_is_keras_2(keras_3_first):
    assert keras_3_first["keras"].startswith("3.")
    assert keras_3_first["tf.keras"].startswith("tf_keras.")


@pytest.mark.parametrize("loss", ["loss", "loss of the task"])
def test_a_model_of_keras_3_trains_on_our_loss_and_on_our_task(keras_3_first, loss):
    no_better_than_chance = np.log(12)
    assert keras_3_first[loss] < no_better_than_chance / 4


def test_what_it_learned_is_found_by_the_index_and_the_metric(keras_3_first):
    assert keras_3_first["best items"] == [*range(12)]
    assert [*keras_3_first["metrics"].values()] == [1.0]


def test_keras_rs_finds_the_same_items(keras_3_first):
    if keras_3_first["items of keras-rs"] is None:
        pytest.skip("keras-rs is not installed")
    assert keras_3_first["items"] == keras_3_first["items of keras-rs"]
