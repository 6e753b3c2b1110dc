import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.models.automtn import TraceEmbedding


def test_a_step_is_the_sum_of_who_what_and_when():
    layer = TraceEmbedding(3, 5, 2)
    rng = np.random.default_rng(0)
    users, ids, hours, weekdays = (rng.normal(size=t.shape) for t in layer.tables)
    for table, value in zip(layer.tables, (users, ids, hours, weekdays), strict=True):
        table.assign(value)
    found = layer(
        np.array([3, 0]),
        np.array([[1, 5], [0, 2]]),
        np.array([[0, 23], [5, 5]]),
        np.array([[6, 0], [1, 1]]),
    )
    known = users[2] + ids[0] + hours[0] + weekdays[6]
    np.testing.assert_allclose(found[0, 0], known, rtol=1e-5)
    np.testing.assert_allclose(found[1, 0], hours[5] + weekdays[1], rtol=1e-5)
    np.testing.assert_allclose(found[1, 1], ids[1] + hours[5] + weekdays[1], rtol=1e-5)


def test_users_may_be_given_for_every_step():
    layer, steps = TraceEmbedding(3, 5, 2), np.array([[1, 5], [0, 2]])
    by_row = layer(np.array([3, 1]), steps, steps, steps)
    by_step = layer(np.array([[3, 3], [1, 1]]), steps, steps, steps)
    np.testing.assert_array_equal(by_row, by_step)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weekdays": 7}, "weekdays must be from 0 to 6"),
        ({"hours": -1}, "hours must be from 0 to 23"),
        ({"ids": 6}, "must be from 0 to 5"),
        ({"users": 4}, "user ids must be from 0 to 3"),
    ],
)
def test_a_number_outside_of_its_table_is_named(change, message):
    steps = {"users": 0, "ids": 0, "hours": 0, "weekdays": 0} | change
    layer = TraceEmbedding(3, 5, 2)
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        layer(*(np.array([[number]]) for number in steps.values()))
