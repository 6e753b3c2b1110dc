import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.ops.features.read_features import (
    dense_feature,
    dense_through,
    id_feature,
)


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int32", "int64"])
def test_ids_of_every_width_become_int64(dtype):
    ids = id_feature({"user_id": np.array([1, 7], dtype)}, "user_id")
    assert ids.dtype == tf.int64
    np.testing.assert_array_equal(ids, [1, 7])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([1.5]), r"`user_id` must be integers or strings. Got float64"),
        (np.array([[1]]), r"`user_id` must be \[batch\]. Got shape \(1, 1\)"),
    ],
)
def test_ids_that_are_none_are_named(values, message):
    with pytest.raises(ValueError, match=message):
        id_feature({"user_id": values}, "user_id")


def test_integers_are_numbers_and_half_precision_stays():
    assert dense_feature({"x": np.ones([2, 3], "int32")}, "x").dtype == tf.float32
    half = tf.ones([2, 3], tf.float16)
    assert dense_feature({"x": half}, "x", 3).dtype == tf.float16


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"y": np.ones([2, 3])}, r"`x` is missing. Got \['y'\]"),
        ({"x": np.array([["a"]])}, "`x` must be numbers. Got string"),
        ({"x": np.ones(3)}, r"`x` must be \[batch, width\].*\(3,\)"),
        ({"x": np.ones([2, 4])}, "`x` must have width 3.* Got 4"),
    ],
)
def test_dense_features_that_do_not_fit_are_named(features, message):
    with pytest.raises(ValueError, match=message):
        dense_feature(features, "x", 3)


@pytest.mark.parametrize("activation", [None, "relu"])
def test_a_feature_without_columns_is_the_bias_and_trains(activation):
    layer = tf.keras.layers.Dense(3, activation, bias_initializer="ones")
    optimizer = tf.keras.optimizers.SGD(0.5)

    @tf.function
    def step(features):
        with tf.GradientTape() as tape:
            out = dense_through(layer, features, "item_features")
            loss = tf.reduce_sum(out)
        optimizer.minimize(loss, layer.trainable_variables, tape=tape)
        return out

    features = {"item_features": tf.zeros([4, 0])}
    np.testing.assert_array_equal(step(features), np.ones([4, 3]))
    np.testing.assert_array_equal(
        step(features), np.full([4, 3], 0 if activation else -1)
    )
