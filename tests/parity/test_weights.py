"""Weights go from upstream's classes to ours and back, in every format."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs

import tfrs_models

TITLES = [f"m{i}" for i in range(9)]
USERS = [f"u{i}" for i in range(5)]
RNG = np.random.default_rng(0)
ROWS = {"user": RNG.choice(USERS, 12), "title": RNG.choice(TITLES, 12)}
CLASSES = {
    "theirs": (tfrs.Model, tfrs.tasks.Retrieval, tfrs.metrics.FactorizedTopK),
    "our task": (
        tfrs.Model,
        tfrs_models.tasks.Retrieval,
        tfrs_models.metrics.FactorizedTopK,
    ),
    "ours": (
        tfrs_models.Model,
        tfrs_models.tasks.Retrieval,
        tfrs_models.metrics.FactorizedTopK,
    ),
}


def tower(words):
    return tf.keras.Sequential(
        [
            tf.keras.layers.StringLookup(vocabulary=words),
            tf.keras.layers.Embedding(len(words) + 1, 3),
        ]
    )


def trained(base, task, metric):
    class TwoTowers(base):
        def __init__(self):
            super().__init__()
            self.users, self.titles = tower(USERS), tower(TITLES)
            titles = tf.data.Dataset.from_tensor_slices(TITLES).batch(4)
            self.task = task(metrics=metric(titles.map(self.titles), ks=[1, 2]))

        def compute_loss(self, features, training=False):
            del training
            return self.task(
                self.users(features["user"]), self.titles(features["title"])
            )

        def call(self, features):
            return self.users(features["user"]), self.titles(features["title"])

    model = TwoTowers()
    model.compile(tf.keras.optimizers.Adagrad(0.5))
    model.fit(tf.data.Dataset.from_tensors(ROWS), verbose=0)
    model({name: tf.constant(values) for name, values in ROWS.items()})
    return model


@pytest.fixture(scope="module")
def models():
    return {name: trained(*classes) for name, classes in CLASSES.items()}


PAIRS = [("theirs", "ours"), ("ours", "theirs"), ("theirs", "our task"),
         ("our task", "theirs"), ("our task", "ours")]  # fmt: skip


@pytest.mark.parametrize("suffix", [".h5", ".weights.h5", ""])
@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_weights_load(models, source, target, suffix, tmp_path):
    one, other = models[source], models[target]
    other.users.layers[1].embeddings.assign_add(tf.ones([6, 3]))
    other.titles.layers[1].embeddings.assign_add(tf.ones([10, 3]))
    one.save_weights(str(tmp_path / f"file{suffix}"))
    other.load_weights(str(tmp_path / f"file{suffix}"))
    for a, b in zip(one(ROWS), other(ROWS), strict=True):
        np.testing.assert_array_equal(a, b)


def test_weights_are_those_of_the_towers_in_upstreams_order(models):
    *theirs, counter = models["theirs"].get_weights()
    assert counter.shape == ()
    ours = models["ours"].get_weights()
    assert [w.shape for w in ours] == [w.shape for w in theirs]


def test_a_metric_that_is_new_needs_nothing_from_the_file(models, tmp_path):
    class Plain(tfrs_models.Model):
        def __init__(self, metrics):
            super().__init__()
            self.table = tf.keras.layers.Embedding(3, 2)
            self.table.build(None)
            self.task = tfrs_models.tasks.Retrieval(metrics=metrics)

    path = str(tmp_path / "file.weights.h5")
    Plain(None).save_weights(path)
    titles = tf.data.Dataset.from_tensor_slices(np.eye(3, 2, dtype="float32")).batch(2)
    Plain(tfrs_models.metrics.FactorizedTopK(titles, metrics=["mrr"])).load_weights(
        path
    )
    del models
