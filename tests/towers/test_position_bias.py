import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.towers import PositionBias

TABLE = np.random.default_rng(0).normal(size=(4, 2)).astype("float32")


def make(**options):
    bias = PositionBias(4, 2, **options)
    bias.table.assign(TABLE)
    return bias


def test_logged_positions_have_their_bias_and_far_ones_the_last():
    output = make().logged({"position": np.array([0, 3, 2, 9], "int32")})
    np.testing.assert_array_equal(output, TABLE[[0, 3, 2, 3]])


def test_serving_needs_no_position_and_adds_nothing():
    np.testing.assert_array_equal(make()({}), np.zeros([1, 2]))


def test_serving_may_be_fixed_to_one_position():
    np.testing.assert_array_equal(make(serving_position=1)({}), TABLE[[1]])


@pytest.mark.parametrize("serving_position", [None, 2])
def test_the_context_shifts_each_position_by_its_own(serving_position):
    bias = make(context_feature="device", serving_position=serving_position)
    features = {
        "position": np.array([0, 2, 7]),
        "device": np.array([[1, 0, 0], [0, 1, 0], [0.5, 0, 2]], "float32"),
    }
    bias.logged(features)
    kernel = np.random.default_rng(1).normal(size=(3, 8)).astype("float32")
    bias.context.set_weights([kernel])
    shift = kernel.reshape(3, 4, 2)
    places = [0, 2, 3]
    expected = [
        [TABLE[p, t] + sum(row[c] * shift[c, p, t] for c in range(3)) for t in range(2)]
        for row, p in zip(features["device"], places, strict=True)
    ]
    np.testing.assert_allclose(bias.logged(features), expected, rtol=1e-5)
    if serving_position is not None:
        expected = TABLE[2] + features["device"] @ shift[:, 2]
        served = bias({"device": features["device"]})
        np.testing.assert_allclose(served, expected, rtol=1e-5)


def test_it_starts_without_an_opinion():
    output = PositionBias(4, 2).logged({"position": np.array([0, 3])})
    np.testing.assert_array_equal(output, np.zeros([2, 2]))


@pytest.mark.parametrize("graph", [False, True])
def test_positions_below_zero_are_refused(graph):
    bias = make()
    call = tf.function(bias.logged) if graph else bias.logged
    with pytest.raises(tf.errors.InvalidArgumentError, match="`position` must count"):
        call({"position": tf.constant([0, -1])})


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({}, "`position` is missing"),
        ({"position": np.array(["1"])}, "`position` must be integers. Got string"),
        ({"position": np.array([1.0])}, "`position` must be integers"),
    ],
)
def test_positions_that_are_none_are_named(features, message):
    with pytest.raises(ValueError, match=message):
        make().logged(features)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((0, 2), {}, "`num_positions` and `num_tasks` must be at least 1"),
        ((4, 0), {}, "`num_positions` and `num_tasks` must be at least 1"),
        ((4, 2), {"serving_position": 4}, "`serving_position` must be .* Got 4 of 4"),
    ],
)
def test_wrong_arguments_are_named(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        PositionBias(*arguments, **options)
