import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.towers import UserId
from tfrs_models.towers.unit_norm import UnitNorm


def test_outputs_have_length_one_and_the_direction_of_the_tower():
    tower = UserId(5, 3)
    ids = {"user_id": np.arange(5)}
    inner, outer = tower(ids).numpy(), UnitNorm(tower)(ids).numpy()
    for row in range(5):
        length = np.sqrt(sum(x * x for x in inner[row]))
        np.testing.assert_allclose(outer[row], inner[row] / length, rtol=1e-5)


def test_training_reaches_the_tower():
    tower = UnitNorm(UserId(5, 3, id_dropout=0.5))
    ids = {"user_id": np.full(200, 2)}
    assert len(np.unique(tower(ids), axis=0)) == 1
    assert len(np.unique(tower(ids, training=True), axis=0)) == 2


def test_options_of_the_call_reach_the_tower():
    class Steps(tf.keras.layers.Layer):
        def call(self, features, training=False, return_sequences=False):
            del training
            return features["x"] if return_sequences else features["x"][:, -1]

    layer, x = UnitNorm(Steps()), tf.constant([[[3.0, 4.0], [0.0, -2.0]]])
    np.testing.assert_allclose(layer({"x": x}), [[0, -1]])
    steps = layer({"x": x}, return_sequences=True)
    np.testing.assert_allclose(steps, [[[0.6, 0.8], [0, -1]]], rtol=1e-6)


@pytest.mark.usefixtures("mixed_policy")
@pytest.mark.parametrize(
    "mixed_policy", ["mixed_float16", "mixed_bfloat16"], indirect=True
)
def test_lengths_are_exact_under_mixed_precision():
    output = UnitNorm(UserId(5, 16))({"user_id": np.arange(5)})
    assert output.dtype == tf.float32
    np.testing.assert_allclose(np.linalg.norm(output, axis=1), 1, rtol=1e-6)


def test_a_zero_vector_stays_finite():
    class Zero(tf.keras.layers.Layer):
        def call(self, features, training=False):
            del training
            return features["x"] * 0

    output = UnitNorm(Zero())({"x": tf.ones([2, 3])})
    np.testing.assert_array_equal(output, np.zeros([2, 3]))
