"""Fine-tuning on two replicas."""

import contextlib

import numpy as np
import pytest
import tensorflow as tf

from tests.click_searches import batches, clicks_on_three_items, model_of


@pytest.mark.slow
@pytest.mark.parametrize(("contrastive", "num"), [(False, 30), (True, 25)])
def test_two_replicas_train_and_report_as_one(strategy, contrastive, num):
    fixed = int(contrastive)
    found = []
    options = {
        "not_irrelevant_only": not contrastive,
        "confidence_calculator": "windowed",
    }
    for scope in (contextlib.nullcontext(), strategy.scope()):
        tf.keras.utils.set_random_seed(0)  # of which the draws depend too
        data = batches(clicks_on_three_items(num=num), batch_size=7, seed=3)
        with scope:
            model = model_of((5,), options=options, num_fixed_layers=fixed)
            model.compile(
                tf.keras.optimizers.SGD(0.3),
                item_optimizer=tf.keras.optimizers.SGD(0.2),
                run_eagerly=not found,  # only on two replicas is a graph of interest
            )
        model.fit(data, epochs=2, verbose=0)
        figures = model.evaluate(data, verbose=0, return_dict=True)
        found.append((model.trainable_weights, figures))
    one, two = found
    for left, right in zip(one[0], two[0], strict=True):
        np.testing.assert_allclose(right, left, rtol=1e-4, atol=1e-6)
    for name, value in one[1].items():
        if name != "num_pairs":  # of a step; two replicas make twice as many of them
            assert two[1][name] == pytest.approx(value, rel=1e-4, abs=1e-6), name
