"""AutoMTN and its predictor where layers compute in half precision."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from tests.models.automtn.automtn_data import features, golden, make
from tfrs_models.models.automtn import AttentionPredictor, POICloseness

policies = pytest.mark.parametrize(
    "mixed_policy", ["mixed_float16", "mixed_bfloat16"], indirect=True
)


@functools.cache
def losses(policy):
    """Of six steps, from the same weights."""
    assert tf.keras.mixed_precision.global_policy().name == policy
    tf.keras.utils.set_random_seed(0)
    places = np.random.default_rng(5).uniform(40, 40.2, size=(11, 2))
    closeness = POICloseness(coordinates=places)
    model = make(num_layers=1, use_residual=True, closeness=closeness)
    # A scale that Keras chooses makes it skip the first step.
    optimizer = tf.keras.mixed_precision.LossScaleOptimizer(
        tf.keras.optimizers.Adam(0.01), dynamic=False, initial_scale=64
    )
    model.compile(optimizer, run_eagerly=True)
    data = tf.data.Dataset.from_tensors(features(golden()))
    history = model.fit(data, epochs=6, verbose=0).history
    assert model(features(golden()))[0].dtype == tf.float32
    return history["loss_per_example"]


@policies
def test_training_in_half_precision_costs_what_it_does_in_whole(mixed_policy):
    found = losses(mixed_policy)
    tf.keras.mixed_precision.set_global_policy("float32")
    expected = losses("float32")
    assert expected[-1] < 0.95 * expected[0]
    np.testing.assert_allclose(found, expected, rtol=0.03)


@policies
@pytest.mark.usefixtures("mixed_policy")
def test_the_weights_of_steps_are_not_rounded():
    rng = np.random.default_rng(0)
    table, memory = (rng.normal(size=s).astype("float32") for s in ((7, 3), (2, 5, 3)))
    layer = AttentionPredictor(5)
    layer.value.assign(rng.normal(size=(5, 1)))
    layer.bias.assign([1 / 3])
    expected = np.einsum("s,cd,bsd->bc", layer.value.numpy()[:, 0], table, memory)
    np.testing.assert_allclose(layer(table, memory), expected + 1 / 3, atol=1e-5)
