"""Standardization of features."""

import numpy as np

import tfrs_models as tm

VALUES = np.random.default_rng(0).normal(3, 5, size=(50, 3)).astype("float32")


def test_features_get_mean_zero_and_deviation_one_but_constants_are_only_moved():
    values = VALUES * [1, 0, 4] + [0, 7, 0]
    layer = tm.layers.Standardize()
    np.testing.assert_array_equal(layer(VALUES), VALUES)  # before statistics
    layer.set_statistics(values.mean(axis=0), values.std(axis=0))
    found = layer(values).numpy()
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(found.std(axis=0), [1, 0, 1], atol=1e-5)
    assert not layer.trainable_weights
