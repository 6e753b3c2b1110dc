"""What auto-correlation refuses, and how it says so."""

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.layers import (
    AutoCorrelation,
    AutoCorrelationBlock,
    AutoCorrelationLayer,
)


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


SERIES = np.random.default_rng(0).normal(size=(3, 6, 4)).astype("float32")
MASK = np.arange(6) < np.array([[6], [4], [2]])
LAYERS = [AutoCorrelationLayer(4, num_heads=2), AutoCorrelationBlock(4, num_heads=2)]


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((SERIES, None, None, MASK), "`key_mask` must be None where `key` is"),
        ((SERIES, None, MASK.astype(int)), "`query_mask` must be bool. Got int64"),
        ((SERIES, None, MASK * 1.0), "`query_mask` must be bool. Got float64"),
        ((SERIES, SERIES, MASK, MASK * 1.0), "`key_mask` must be bool. Got float64"),
        ((SERIES, SERIES[:1]), "`key` must have a row for each of `query`"),
        ((SERIES, SERIES[:2]), "`key` must have a row for each of `query`"),
        ((SERIES, None, MASK[:1]), "`query` must be .* and its mask"),
    ],
)
def test_masks_and_keys_that_do_not_fit_are_named(layer, arguments, message):
    with pytest.raises(ValueError, match=message):
        layer(*arguments)
    with pytest.raises(ValueError, match=message):
        layer.lags(*map(as_tensor, arguments))


def as_tensor(value):
    return value if value is None else tf.convert_to_tensor(value)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_mask_of_another_shape_is_refused_where_only_the_run_knows(layer):
    spec = tf.TensorSpec([None, None, 4]), tf.TensorSpec([None, None], tf.bool)
    function = tf.function(lambda x, m: layer(x, query_mask=m), input_signature=spec)
    np.testing.assert_allclose(
        function(SERIES, MASK), layer(SERIES, query_mask=MASK), atol=1e-5
    )
    for mask in (MASK[:1], MASK[:, :1]):
        with pytest.raises(tf.errors.InvalidArgumentError, match="`query` must be"):
            function(SERIES, mask)


@pytest.mark.parametrize("cls", [AutoCorrelationLayer, AutoCorrelationBlock])
@pytest.mark.parametrize("size", [0, -1])
@pytest.mark.parametrize("name", ["key_dim", "value_dim", "embedding_dim"])
def test_a_width_of_nothing_is_refused_and_no_default(cls, name, size):
    widths = {"embedding_dim": 4, "key_dim": 2, "value_dim": 2}
    with pytest.raises(ValueError, match=f"`{name}` must be at least 1. Got {size}"):
        cls(**(widths | {name: size}))


def test_hidden_units_of_nothing_are_refused():
    with pytest.raises(ValueError, match="`hidden_units` must be at least 1. Got 0"):
        AutoCorrelationBlock(4, hidden_units=0)


@pytest.mark.parametrize("factor", [1e6, 1e308])
def test_a_factor_beyond_all_lags_takes_all_lags(factor):
    layer = AutoCorrelation(factor=factor)
    assert layer.num_lags(10) == 10
    assert int(layer.num_lags(tf.constant(10))) == 10


@pytest.mark.parametrize("length", [1, 10])
def test_a_block_tells_the_correlation_of_its_layer(length):
    series = SERIES[:, :length]
    block = AutoCorrelationBlock(4, num_heads=2, key_dim=3)
    out, found = block(series, return_correlation=True)
    np.testing.assert_allclose(out, block(series), atol=1e-6)
    assert found.shape == (3, series.shape[1], 2, 3)
    mean = block.lags(tf.constant(series)).correlation
    np.testing.assert_allclose(tf.reduce_mean(found, axis=[2, 3]), mean, atol=1e-5)
