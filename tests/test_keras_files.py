"""Models and layers in every kind of file that Keras writes."""

import numpy as np
import pytest
import tensorflow as tf

import tfrs_models
from tests.test_contracts import ROWS, outputs, run
from tfrs_models import layers, models

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
