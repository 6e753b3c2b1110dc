"""Adam that leaves alone what a batch does not have."""

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.training import LazyAdam


def steps(optimizer, gradients):
    """Values of a table after each of some gradients."""
    table = tf.Variable(np.arange(8.0).reshape(4, 2).astype("float32"))
    found = []
    for gradient in gradients:
        optimizer.apply_gradients([(gradient, table)])
        found.append(table.numpy().copy())
    return found


def sparse(rows, values):
    return tf.IndexedSlices(tf.constant(values), tf.constant(rows), tf.constant([4, 2]))


ROWS = [[0, 2], [2, 2, 1], [0, 1, 2]]
RNG = np.random.default_rng(0)
VALUES = [RNG.normal(size=(len(rows), 2)).astype("float32") for rows in ROWS]


@pytest.mark.parametrize("adaptive_epsilon", [False, True])
def test_rows_move_as_adams_equations_say_and_others_stay(adaptive_epsilon):
    found = steps(
        LazyAdam(0.1, epsilon=1e-3, adaptive_epsilon=adaptive_epsilon),
        [sparse(*pair) for pair in zip(ROWS, VALUES, strict=True)],
    )
    table = np.arange(8.0).reshape(4, 2)
    mean, square = np.zeros([2, 4, 2])
    for step, (rows, values, after) in enumerate(
        zip(ROWS, VALUES, found, strict=True), start=1
    ):
        for row in set(rows):
            slope = sum(v for r, v in zip(rows, values, strict=True) if r == row)
            mean[row] = 0.9 * mean[row] + 0.1 * slope
            square[row] = 0.999 * square[row] + 0.001 * slope**2
            scale = np.sqrt(1 - 0.999**step)
            epsilon = 1e-3 * (scale if adaptive_epsilon else 1)
            rate = 0.1 * scale / (1 - 0.9**step)
            table[row] -= rate * mean[row] / (np.sqrt(square[row]) + epsilon)
        np.testing.assert_allclose(after, table, rtol=1e-4)


def test_it_is_adam_where_every_row_has_a_gradient():
    values = [RNG.normal(size=(4, 2)).astype("float32") for _ in range(3)]
    ours = steps(LazyAdam(0.1), [sparse([3, 1, 0, 2], v[[3, 1, 0, 2]]) for v in values])
    dense = steps(LazyAdam(0.1), [tf.constant(v) for v in values])
    keras = steps(tf.keras.optimizers.Adam(0.1), [tf.constant(v) for v in values])
    for one, two, three in zip(ours, dense, keras, strict=True):
        np.testing.assert_allclose(one, three, rtol=1e-5)
        np.testing.assert_allclose(two, three, rtol=1e-5)


def test_it_comes_back_from_its_config():
    config = tf.keras.optimizers.serialize(LazyAdam(0.25, beta_1=0.5))
    copy = tf.keras.optimizers.deserialize(config)
    assert type(copy) is LazyAdam
    assert copy.beta_1 == 0.5
    assert float(copy.learning_rate) == 0.25


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"amsgrad": True}, "`amsgrad` must be False"),
        ({"weight_decay": 0.1}, r"`weight_decay` must be None: .* Got 0\.1\."),
    ],
)
def test_what_goes_over_all_rows_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        LazyAdam(**options)
