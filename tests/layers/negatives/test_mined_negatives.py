import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.layers import MinedNegatives


def test_a_query_has_what_was_assigned_last_and_others_have_none():
    table = MinedNegatives(5, 2)
    assert (table(tf.range(5)).numpy() == -1).all()
    assert not table.trainable_weights
    table.assign(tf.constant([3, 1]), tf.constant([[30, 2**53 + 1], [10, -1]]))
    table.assign(tf.constant([1], tf.int32), tf.constant([[11, 12]], tf.int32))
    expected = [[-1, -1], [11, 12], [-1, -1], [30, 2**53 + 1], [-1, -1]]
    np.testing.assert_array_equal(table(tf.range(5)), expected)
    np.testing.assert_array_equal(
        table(tf.constant([3, 1, 3])), [expected[3], expected[1], expected[3]]
    )


@pytest.mark.parametrize("graph", [False, True])
def test_a_query_id_outside_of_the_table_has_none(graph):
    table = MinedNegatives(3, 2)
    table.assign(tf.range(3), tf.constant([[1, 2], [3, 4], [5, 6]]))
    call = tf.function(table.__call__) if graph else table
    found = call(tf.constant([-1, 2, 3, -(2**40), 2**40]))
    none = [-1, -1]
    np.testing.assert_array_equal(found, [none, [5, 6], none, none, none])


@pytest.mark.parametrize("wrong", [-1, 3])
def test_an_id_outside_of_the_table_is_not_assigned(wrong):
    table = MinedNegatives(3, 1)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"in \[0, 3\).*Got"):
        table.assign(tf.constant([0, wrong]), tf.constant([[1], [2]]))
    assert (table(tf.range(3)).numpy() == -1).all()


@pytest.mark.parametrize("sizes", [(0, 2), (2, 0)])
def test_wrong_sizes_are_named(sizes):
    with pytest.raises(ValueError, match="must be at least 1.*Got"):
        MinedNegatives(*sizes)


def test_another_number_of_candidates_is_refused():
    with pytest.raises(ValueError, match="must have 2 columns. Got 1"):
        MinedNegatives(3, 2).assign(tf.constant([1]), tf.constant([[1]]))
