import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.ops.newest_steps import newest_steps


@pytest.mark.parametrize("length", [1, 3, 9])
def test_the_newest_real_steps_stand_at_the_end_of_the_window(length):
    rng = np.random.default_rng(0)
    real = rng.random((8, 6)) < 0.6
    real[0] = False
    places, mask = newest_steps(tf.constant(real), length)
    for row in range(len(real)):
        newest = np.flatnonzero(real[row])[-length:]
        empty = length - len(newest)
        assert mask[row].numpy().tolist() == [False] * empty + [True] * len(newest)
        assert places[row].numpy().tolist() == [0] * empty + newest.tolist()
