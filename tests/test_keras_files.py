"""Towers of words, lists and flags in the files that Keras writes."""

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models import models, towers
from tfrs_models.feature import Feature

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
