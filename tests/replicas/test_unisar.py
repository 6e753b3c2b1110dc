"""UniSAR on two replicas."""

import itertools

import numpy as np
import tensorflow as tf

from tests.models import unisar_batches as batches


def parts(features, sizes):
    """The rows of each replica."""
    cuts = np.cumsum([0, *sizes])
    return [
        tf.nest.map_structure(lambda v, a=a, b=b: tf.constant(v[a:b]), features)
        for a, b in itertools.pairwise(cuts)
    ]


def test_two_replicas_train_and_report_as_one(strategy):
    features = {
        "recommendation": batches.example(5),
        "search": batches.example(5, search=True, seed=1),
        "random": {"item_id": np.arange(1, 6), "query": np.ones([5, 6], int)},
    }
    one = batches.make(decay_unused_rows=True)
    with strategy.scope():
        two = batches.make(decay_unused_rows=True)
    for model in (one, two):
        with strategy.scope() if model is two else tf.name_scope("one"):
            model.compile(tf.keras.optimizers.SGD(0.05))
    one.train_step(features)
    one.test_step(features)
    shares = parts(features, [3, 2])
    for step in (two.train_step, two.test_step):
        values = strategy.experimental_distribute_values_from_function(
            lambda context: shares[context.replica_id_in_sync_group]
        )
        strategy.run(step, args=(values,))
    for left, right in zip(one.trainable_weights, two.trainable_weights, strict=True):
        np.testing.assert_allclose(right, left, rtol=1e-3, atol=1e-5, err_msg=left.name)
    for left, right in zip(one.metrics, two.metrics, strict=True):
        np.testing.assert_allclose(
            right.result(), left.result(), rtol=1e-4, err_msg=left.name
        )
