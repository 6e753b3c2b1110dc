"""In graphs the package runs as it is written; only what users write is rewritten."""

import traceback

import numpy as np
import tensorflow as tf

import tfrs_models as tm


@tf.autograph.experimental.do_not_convert
def frames():
    return [(frame.name, frame.filename) for frame in traceback.extract_stack()]


class Choosy(tf.keras.layers.Layer):
    """A user's tower that chooses by a tensor, as only AutoGraph can in a graph."""

    def __init__(self):
        super().__init__()
        self.frames = ()

    def call(self, features, training=False):
        del training
        self.frames = tuple(frames())
        values = tf.cast(features["user_id"], tf.float32)[:, None]
        if tf.reduce_sum(values) > 5:
            return values
        return -values


def test_a_users_tower_is_rewritten_and_the_model_around_it_is_not():
    items = tm.towers.FeatureTower([tm.data.Feature("item_id", "id", 5)], 1)
    model = tm.models.TwoTower(Choosy(), items, unit_norm=False)
    graph = tf.function(lambda features: model(features)[0])
    for users, sign in (([1, 2], -1), ([3, 4], 1)):
        features = {"user_id": tf.constant(users), "item_id": tf.constant([1, 2])}
        expected = sign * np.array(users, "float32")[:, None]
        np.testing.assert_array_equal(graph(features), expected)
    names, files = zip(*model.query_tower.frames, strict=True)
    assert names.count("tf__call") == 1
    assert any(file.endswith("models/two_tower.py") for file in files)
