import functools

import numpy as np
import pytest
import tensorflow as tf

from tests.dropouts import dropouts_that_drop
from tfrs_models.layers import (
    AutoCorrelationBlock,
    AutoCorrelationLayer,
    SeriesDecomposition,
)

RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(3, 9, 4)).astype("float32")
MASK = np.arange(9) < np.array([[9], [6], [3]])


def moving_average(series, window):
    """Step by step, a series that stays as it is beyond its ends."""
    out, before = np.zeros_like(series), window - 1 - (window - 1) // 2
    for step in range(len(series)):
        for place in range(step - before, step - before + window):
            out[step] += series[min(max(place, 0), len(series) - 1)] / window
    return out


@pytest.mark.parametrize("window", [1, 2, 3, 25])
def test_the_trend_is_the_moving_average(window):
    rest, trend = SeriesDecomposition(window)(INPUTS)
    expected = [moving_average(series, window) for series in INPUTS]
    np.testing.assert_allclose(trend, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(rest + trend, INPUTS, atol=1e-6)


@pytest.mark.parametrize("window", [2, 5])
def test_the_trend_of_a_padded_series_is_over_its_real_steps(window):
    rest, trend = SeriesDecomposition(window)(
        np.where(MASK[:, :, None], INPUTS, np.nan), MASK
    )
    before, after = window - 1 - (window - 1) // 2, (window - 1) // 2
    for row, size in enumerate([9, 6, 3]):
        for step in range(9):
            window_steps = INPUTS[row, max(step - before, 0) : step + after + 1][
                : max(size - max(step - before, 0), 0)
            ]
            expected = window_steps.mean(axis=0) if step < size else 0
            np.testing.assert_allclose(trend[row, step], expected, atol=1e-5)
    np.testing.assert_allclose(
        rest + trend, np.where(MASK[:, :, None], INPUTS, 0), atol=1e-6
    )


@pytest.mark.parametrize("decomposition", [None, 3])
def test_padding_has_no_influence_and_is_zero(decomposition):
    block = AutoCorrelationBlock(
        6, num_heads=2, factor=1.5, decomposition=decomposition
    )
    out = block(INPUTS, query_mask=MASK).numpy()
    changed = np.where(MASK[:, :, None], INPUTS, 50).astype("float32")
    np.testing.assert_allclose(block(changed, query_mask=MASK), out, atol=1e-5)
    assert out.shape == (3, 9, 6)
    assert not out[~MASK].any()
    assert out[MASK].all()


def test_what_stands_at_padding_reaches_no_gradient():
    block = AutoCorrelationBlock(6, num_heads=2, factor=1.5, decomposition=3)
    broken = np.where(MASK[:, :, None], INPUTS, np.nan).astype("float32")
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(block(broken, query_mask=MASK) ** 2)
    gradients = tape.gradient(loss, block.trainable_weights)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("decomposition", [None, 3])
def test_it_adds_the_correlation_and_a_feed_forward_layer_and_normalises(decomposition):
    block = AutoCorrelationBlock(
        4, num_heads=2, hidden_units=5, factor=1.5, decomposition=decomposition
    )
    block(INPUTS)
    rng = np.random.default_rng(1)
    block.set_weights([rng.normal(size=w.shape) for w in block.get_weights()])
    named = {w.name: w.numpy() for w in block.weights}
    inner, outer = (
        next(v for n, v in named.items() if "kernel" in n and v.shape == shape)
        for shape in ((4, 5), (5, 4))
    )
    inner_bias = next(v for v in named.values() if v.shape == (5,))
    gammas, betas = (
        [v for n, v in named.items() if kind in n] for kind in ("gamma", "beta")
    )
    outer_bias = block._outer.bias.numpy()

    def norm(x, place):
        x = x - x.mean(axis=-1, keepdims=True)
        scale = np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-5)
        return x / scale * gammas[place] + betas[place]

    def season(x):
        """Without the mean over a step and its neighbours; edges count twice."""
        if decomposition is None:
            return x
        wide = np.concatenate([x[:, :1], x, x[:, -1:]], axis=1)
        return x - (wide[:, :-2] + wide[:, 1:-1] + wide[:, 2:]) / 3

    hidden = norm(season(INPUTS + block._correlate(INPUTS).numpy()), 0)
    wide = np.maximum(hidden @ inner + inner_bias, 0)
    expected = norm(season(hidden + wide @ outer + outer_bias), 1)
    np.testing.assert_allclose(block(INPUTS), expected, rtol=1e-3, atol=1e-3)


def test_every_dropout_drops_in_training_only():
    block = AutoCorrelationBlock(4, dropout=0.5, shared_lags=False)
    block(INPUTS)
    assert all(dropouts_that_drop(block, functools.partial(block, INPUTS)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AutoCorrelationBlock(4, dropout=1.0), r"`dropout` must be in \[0, 1"),
        (lambda: AutoCorrelationBlock(4, num_heads=0), "`num_heads` must be at least"),
        (lambda: SeriesDecomposition(0), "`window` must be at least 1. Got 0"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_lags_of_a_planted_period_are_found():
    steps = np.arange(40)
    curve = np.sin(2 * np.pi * steps / 8)[None, :, None]
    block = AutoCorrelationBlock(4, factor=1.0)
    curve = np.tile(curve, [2, 1, 1]).astype("float32")
    lags = block.lags(tf.constant(curve))
    assert block(curve).shape == (2, 40, 4)  # asked for lags first, it is whole
    found = lags.correlation.numpy()[0]
    # The projections differ in sign and size, but all channels have this period.
    np.testing.assert_allclose(found[:32], found[8:], atol=1e-2 * np.abs(found).max())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones([3, 4]),), "`query` must be .batch, steps, width."),
        ((INPUTS, None, MASK[:, :5]), "its mask .batch, steps., .3, 9.. Got shape"),
        ((INPUTS, INPUTS[0]), "`key` must be"),
        ((INPUTS, INPUTS, None, MASK[:, :5]), "`key` must be"),
    ],
)
def test_shapes_that_do_not_fit_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        AutoCorrelationLayer(4)(*arguments)
