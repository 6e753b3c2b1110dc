import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.ops.ranks.hidden_positives import check_hidden, hidden_positives

EXCLUSIONS = [[7, 3, 7], [], [2**40, 5], [-1], [7, 8]]
POSITIVES = [3, 3, 2**40, 4, 5]


@pytest.mark.parametrize("form", ["numbers", "text"])
@pytest.mark.parametrize("in_graph", [False, True])
def test_a_positive_is_hidden_by_the_exclusions_of_its_own_query(form, in_graph):
    exclusions = tf.ragged.constant(EXCLUSIONS, tf.int64)
    positives = tf.constant(POSITIVES, tf.int64)
    if form == "text":
        exclusions = exclusions.with_values(tf.strings.as_string(exclusions.values))
        positives = tf.strings.as_string(positives)
    find = tf.function(hidden_positives) if in_graph else hidden_positives
    expected = [p in own for p, own in zip(POSITIVES, EXCLUSIONS, strict=True)]
    np.testing.assert_array_equal(find(positives, exclusions), expected)


def test_ids_of_two_widths_are_compared_as_they_are():
    exclusions = tf.ragged.constant([[2**32 + 1], [1]], tf.int64)
    hidden = hidden_positives(tf.constant([1, 1], tf.int32), exclusions)
    np.testing.assert_array_equal(hidden, [False, True])


def test_without_exclusions_nothing_is_hidden():
    np.testing.assert_array_equal(hidden_positives(tf.constant([4, 5]), None), [0, 0])


def test_another_rule_is_refused():
    assert check_hidden("miss") == "miss"
    with pytest.raises(ValueError, match="`hidden` must be 'miss' or 'leave-out'"):
        check_hidden("best")
