"""What auto-correlation refuses, and how it says so."""

import pytest
import tensorflow as tf

from tfrs_models.layers import AutoCorrelation


def test_a_series_without_steps_is_refused_where_the_graph_does_not_know():
    layer = AutoCorrelation()
    spec = [tf.TensorSpec([None, None, 2, 3])] * 3
    none, some = tf.zeros([2, 0, 2, 3]), tf.zeros([2, 4, 2, 3])
    message = "`query` and `key` must have a step or more"
    call = tf.function(layer, input_signature=spec)
    lags = tf.function(layer.lags, input_signature=spec[:2])
    for inputs in ((none, none, none), (none, some, some), (some, none, none)):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            call(*inputs)
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            lags(*inputs[:2])


@pytest.mark.parametrize("known", [True, False])
def test_a_key_of_another_batch_is_refused(known):
    rows = 3 if known else None
    spec = [tf.TensorSpec([rows and 1, 6, 2, 3])] + [tf.TensorSpec([rows, 6, 2, 3])] * 2
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError)) as caught:
        tf.function(AutoCorrelation(), input_signature=spec)(
            tf.zeros([1, 6, 2, 3]), *[tf.zeros([3, 6, 2, 3])] * 2
        )
    expected = "`query` must be" if known else "must have a row for each of `query`"
    assert expected in str(caught.value)
