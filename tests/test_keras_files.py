"""Models and layers in every kind of file that Keras writes."""

import numpy as np
import pytest
import tensorflow as tf

import tfrs_models
from tests.test_contracts import ROWS, outputs, run
from tfrs_models import layers, models, towers
from tfrs_models.feature import Feature

MODELS = [cls for cls in ROWS if issubclass(cls, tfrs_models.Model)]
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("cls", MODELS, ids=lambda cls: cls.__name__)
def test_a_whole_model_comes_back_from_its_file(cls, tmp_path):
    model = ROWS[cls].make()
    expected = run(cls, model)
    model.save(tmp_path / "model.keras")
    loaded = tf.keras.models.load_model(tmp_path / "model.keras")
    for ours, theirs in zip(run(cls, loaded), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("suffix", [".h5", ".weights.h5", ""])
def test_experts_of_all_levels_are_in_the_weights(suffix, tmp_path):
    def trunk():
        layer = layers.ProgressiveLayered(
            2, num_shared=2, num_specific=2, units=[4], num_levels=2, tower_units=[3]
        )
        inputs = tf.keras.Input([3])
        model = tf.keras.Model(inputs, layer(inputs))
        return model, model(x)

    x = RNG.normal(size=(5, 3)).astype("float32")
    (one, expected), (other, before) = trunk(), trunk()
    one.save_weights(str(tmp_path / f"file{suffix}"))
    other.load_weights(str(tmp_path / f"file{suffix}"))
    for ours, theirs in zip(outputs(other(x)), outputs(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    assert np.abs(outputs(before)[0] - outputs(expected)[0]).max() > 1e-3


def test_a_ranker_that_was_fitted_comes_back_with_its_position_bias(tmp_path):
    features = {
        name: value.numpy() if hasattr(value, "numpy") else value
        for name, value in ROWS[models.MultiTaskRanker].inputs[0].items()
    }
    rows = len(features["user_id"])
    features["position"] = np.arange(rows)
    features["labels"] = RNG.integers(-1, 2, size=(rows, 2))
    model = ROWS[models.MultiTaskRanker].make()
    model.compile(tf.keras.optimizers.Adam(0.01))
    model.fit(tf.data.Dataset.from_tensor_slices(features).batch(4), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = tf.keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        loaded.logged_logits(features), model.logged_logits(features), rtol=1e-5
    )


keep = tf.keras.utils.register_keras_serializable("test_keras_files")
WORDS = np.array(["red car", "green house", "old red house", "blue car"])


class Tower(tf.keras.layers.Layer):
    """Embeds one feature in some way."""

    def adapt(self):
        return self


@keep
class Title(Tower):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.lookup = tf.keras.layers.StringLookup()
        self.table = tf.keras.layers.Embedding(9, 3)

    def adapt(self):
        self.lookup.adapt(WORDS)
        return self

    def call(self, features):
        return self.table(self.lookup(features["x"]))


@keep
class Words(Title):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.lookup = tf.keras.layers.TextVectorization(max_tokens=9)

    def call(self, features):
        return tf.reduce_sum(self.table(self.lookup(features["x"])), axis=1)


@keep
class History(Tower):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.table = tf.keras.layers.Embedding(9, 3)

    def call(self, features):
        return tf.reduce_sum(self.table(features["x"]), axis=1)


@keep
class Flags(Tower):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = tf.keras.layers.Dense(3)

    def call(self, features):
        return self.dense(tf.sparse.to_dense(features["x"]))


FEATURES = {
    Title: tf.constant(WORDS),
    Words: tf.constant(WORDS),
    History: tf.ragged.constant([[1], [2, 3], [4, 5, 6], [7]], dtype=tf.int64),
    Flags: tf.sparse.from_dense(np.eye(4, 5, dtype="float32")),
}


@pytest.mark.parametrize("cls", FEATURES, ids=lambda cls: cls.__name__)
def test_towers_of_words_lists_and_flags_come_back(cls, tmp_path):
    batch = {"x": FEATURES[cls], "item_id": tf.constant([1, 2, 3, 4])}
    items = towers.FeatureTower([Feature("item_id", "id", 4)], 3)
    model = models.TwoTower(cls().adapt(), items)
    model.compile("adam")
    model.fit(tf.data.Dataset.from_tensors(batch), verbose=0)
    expected = model(batch)
    model.save(tmp_path / "model.keras")
    loaded = tf.keras.models.load_model(tmp_path / "model.keras")
    for ours, theirs in zip(loaded(batch), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
