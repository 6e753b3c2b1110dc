"""UniSAR on two replicas."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tests.models.unisar import unisar_batches as batches

TASKS = ("recommendation", "search")


def rows_of_both(rows):
    """As many rows of each service, and as many random items and queries."""
    rng = np.random.default_rng(7)
    return {
        "recommendation": batches.example(rows),
        "search": batches.example(rows, search=True, seed=1),
        "random": {
            "item_id": rng.integers(1, batches.ITEMS + 1, size=rows),
            "query": batches.words(rng, rows),
        },
    }


def one_and_two(strategy):
    """The same model on one replica and on two; a step decays visibly."""
    options = {"decay_unused_rows": True, "l2": 2.0}
    one = batches.make(**options)
    with strategy.scope():
        two = batches.make(**options)
        two.compile(tf.keras.optimizers.SGD(0.05))
    one.compile(tf.keras.optimizers.SGD(0.05), run_eagerly=True)  # starts at once
    return one, two


def assert_same_weights(one, two):
    for left, right in zip(one.trainable_weights, two.trainable_weights, strict=True):
        np.testing.assert_allclose(right, left, rtol=1e-3, atol=1e-5, err_msg=left.name)


def parts(features, sizes):
    """The rows of each replica."""
    cuts = np.cumsum([0, *sizes])
    return [
        tf.nest.map_structure(lambda v, a=a, b=b: tf.constant(v[a:b]), features)
        for a, b in itertools.pairwise(cuts)
    ]


def test_two_replicas_train_and_report_as_one(strategy):
    features = rows_of_both(5)
    one, two = one_and_two(strategy)
    one.train_step(features)
    one.test_step(features)
    shares = parts(features, [3, 2])
    for step in (two.train_step, two.test_step):
        values = strategy.experimental_distribute_values_from_function(
            lambda context: shares[context.replica_id_in_sync_group]
        )
        strategy.run(step, args=(values,))
    assert_same_weights(one, two)
    for left, right in zip(one.metrics, two.metrics, strict=True):
        np.testing.assert_allclose(
            right.result(), left.result(), rtol=1e-4, err_msg=left.name
        )


@pytest.mark.slow
def test_fit_and_its_evaluations_return_the_same_on_two_replicas_as_on_one(strategy):
    data = tf.data.Dataset.from_tensor_slices(rows_of_both(12)).batch(6)
    held_out = data.map(lambda batch: {task: batch[task] for task in TASKS})
    one, two = one_and_two(strategy)
    found = [
        model.fit(data, validation_data=held_out, epochs=2, verbose=0).history
        for model in (one, two)
    ]
    assert_same_weights(one, two)
    assert {"loss_per_example", "val_loss_per_example"} <= set(found[0])
    for name, values in found[0].items():
        np.testing.assert_allclose(found[1][name], values, rtol=1e-3, err_msg=name)
    # Items are kept on one replica; on several, each batch encodes its own.
    kept = [model.network.item_vectors.were_stored for model in (one, two)]
    assert kept == [True, False]
