"""Which Dropout layers of a layer or model are active in training."""

import numpy as np
import tensorflow as tf


def dropouts_that_drop(layer, call):
    """Whether each Dropout by itself changes the output of `call(training)`."""
    drops = [
        part for part in layer.submodules if isinstance(part, tf.keras.layers.Dropout)
    ]
    assert drops, "there is no dropout"
    calm = flat(call(training=False))
    np.testing.assert_array_equal(flat(call(training=False)), calm)
    found = []
    for drop in drops:
        for other in drops:
            other.rate = 0.5 if other is drop else 0.0
        found.append(np.any(flat(call(training=True)) != calm))
    return found


def flat(outputs):
    return np.concatenate([np.ravel(part) for part in tf.nest.flatten(outputs)])
