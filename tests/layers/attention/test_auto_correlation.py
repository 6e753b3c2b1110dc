"""The mechanism and its projections against loops, hand cases and golden arrays."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.layers.attention.auto_correlation_loops import fitted, loops
from tfrs_models.layers import AutoCorrelation, AutoCorrelationLayer

GOLDEN = Path(__file__).parents[2] / "golden"
SERIES = np.array([3, 1, 4, 1, -5, 9, -2, 6.0], "float32")
CASES = pytest.mark.parametrize("name", ["self_even", "cross_q_longer"])
MODES = pytest.mark.parametrize("training", [False, True])


def golden(name):
    with np.load(GOLDEN / f"autocorr_{name}.npz") as file:
        return dict(file)


def draw(seq_len, key_len=None, *, batch=3, value_dim=3, seed=0):
    """Query, key and value that have nothing in common."""
    rng = np.random.default_rng(seed)
    shapes = [(seq_len, 2), (key_len or seq_len, 2), (key_len or seq_len, value_dim)]
    return [
        rng.normal(size=(batch, steps, 2, width)).astype("float32")
        for steps, width in shapes
    ]


def one_channel(*series):
    return [np.reshape(s, [1, -1, 1, 1]).astype("float32") for s in series]


@pytest.mark.parametrize(("seq_len", "key_len"), [(8, 8), (25, 25), (10, 7), (9, 13)])
@pytest.mark.parametrize("direction", [1, -1])
@MODES
def test_it_adds_up_the_values_at_the_lags_of_most_correlation(
    seq_len, key_len, direction, training
):
    inputs = draw(seq_len, key_len)
    layer = AutoCorrelation(factor=1.5, direction=direction)
    out, found = layer(*inputs, training=training, return_correlation=True)
    count = int(1.5 * np.log(seq_len))
    expected = loops(*inputs, count, shared=training, direction=direction)
    np.testing.assert_allclose(found, expected[1], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(out, expected[0], rtol=1e-4, atol=1e-5)


def test_the_lag_of_a_rolled_series_is_found_and_the_values_looked_up_there():
    query, key = one_channel(np.roll(SERIES, 3), SERIES)
    layer = AutoCorrelation(factor=0.5)  # one lag
    out, found = layer(query, key, key, return_correlation=True)
    np.testing.assert_allclose(
        tf.reshape(found, [-1]), [51, 66, -51, 173, -51, 66, 51, -16], atol=1e-4
    )
    assert layer.lags(query, key).delays.numpy().tolist() == [[3]]
    np.testing.assert_allclose(
        tf.reshape(out, [-1]), [1, -5, 9, -2, 6, 3, 1, 4], atol=1e-5
    )


@pytest.mark.parametrize("seq_len", [5, 8, 25])
def test_correlations_sum_to_the_product_of_the_sums(seq_len):
    query, key, value = draw(seq_len)
    _, found = AutoCorrelation()(query, key, value, return_correlation=True)
    np.testing.assert_allclose(
        tf.reduce_sum(found, axis=1), query.sum(axis=1) * key.sum(axis=1), rtol=1e-3
    )
    np.testing.assert_allclose(found[:, 0], (query * key).sum(axis=1), atol=1e-4)


@pytest.mark.parametrize(
    ("length", "factor", "count"),
    [(12, 1, 2), (25, 3, 9), (25, 2, 6), (1810, 1, 7), (2, 1, 1), (1, 1, 1), (5, 9, 5)],
)
def test_the_number_of_lags_grows_with_the_logarithm_of_the_length(
    length, factor, count
):
    layer = AutoCorrelation(factor=factor)
    assert layer.num_lags(length) == count
    assert int(layer.num_lags(tf.constant(length))) == count


@pytest.mark.parametrize("length", [1, 2])
def test_a_series_too_short_for_the_original_has_one_lag(length):
    query, key, value = draw(length)
    out = AutoCorrelation()(query, key, value)
    np.testing.assert_allclose(out, loops(query, key, value, 1)[0], atol=1e-5)
    none = AutoCorrelation(min_lags=0)(query, key, value)
    np.testing.assert_array_equal(none, np.zeros_like(value))  # as the original


@MODES
def test_constant_values_stay_as_they_are(training):
    query, key, value = draw(9)
    value[:] = [[1.5, -2, 7]]
    out = AutoCorrelation(factor=2.0)(query, key, value, training=training)
    np.testing.assert_allclose(out, value, rtol=1e-5)


@pytest.mark.parametrize("offset", [100, -300, 3e4])
@MODES
def test_raw_series_with_an_offset_have_the_lags_of_those_without(offset, training):
    inputs = draw(25, batch=20)
    steps = [2.0, 0.5, -1.0]  # query, key and value, by channel
    inputs = [
        series + np.float32(offset) * np.float32(step) * np.ones(2, "float32")[:, None]
        for series, step in zip(inputs, steps, strict=True)
    ]
    layer = AutoCorrelation(factor=1.5)
    out = layer(*inputs, training=training)
    whole = [series.astype("float64") for series in inputs]
    expected, found = loops(*whole, int(1.5 * np.log(25)), shared=training)
    rounding = abs(offset) * 2e-6
    np.testing.assert_allclose(out, expected, atol=rounding)
    lags = layer.lags(*inputs[:2], training=training)
    np.testing.assert_allclose(lags.correlation, found.mean(axis=(2, 3)), rtol=1e-5)


@pytest.mark.parametrize("shift", [0, 1, 4])
def test_an_impulse_appears_where_the_lag_leads_to_it(shift):
    impulse = np.eye(7)[0]
    query, key = one_channel(np.roll(impulse, shift), impulse)
    out = AutoCorrelation(factor=0.6)(query, key, key)
    np.testing.assert_allclose(tf.reshape(out, [-1]), np.eye(7)[-shift % 7], atol=1e-6)


@MODES
def test_turning_the_circle_turns_the_output_and_nothing_else(training):
    inputs, layer = draw(10), AutoCorrelation(factor=1.5)
    out, found = layer(*inputs, training=training, return_correlation=True)
    turned = [np.roll(series, 3, axis=1) for series in inputs]
    both = layer(*turned, training=training, return_correlation=True)
    np.testing.assert_allclose(both[0], np.roll(out, 3, axis=1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(both[1], found, rtol=1e-4, atol=1e-4)
    alone = layer(*inputs[:2], turned[2], training=training)
    np.testing.assert_allclose(alone, np.roll(out, 3, axis=1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seq_len", [9, 10])
def test_a_series_is_most_like_itself_and_alike_both_ways_round(seq_len):
    """Lags of one series tie in pairs: which of a pair comes first says nothing."""
    series = draw(seq_len)[0]
    lags = AutoCorrelation(factor=1.5).lags(series, series)
    assert (lags.delays[:, 0] == 0).numpy().all()
    found = lags.correlation.numpy()
    np.testing.assert_allclose(found[:, 1:], found[:, :0:-1], rtol=1e-4, atol=1e-4)
    best = -np.sort(-found, axis=1)[:, : lags.delays.shape[1]]
    picked = np.take_along_axis(found, lags.delays.numpy(), axis=1)
    np.testing.assert_allclose(picked, best, rtol=1e-5)


def test_a_row_does_not_depend_on_its_neighbours_but_in_training():
    inputs, layer = draw(12, batch=5), AutoCorrelation()
    out = layer(*inputs)
    order = [3, 0, 4, 1, 2]
    np.testing.assert_allclose(
        layer(*(series[order] for series in inputs)), out.numpy()[order], atol=1e-5
    )
    alone = [series[:1] for series in inputs]
    np.testing.assert_allclose(layer(*alone), out[:1], atol=1e-5)
    np.testing.assert_allclose(layer(*alone, training=True), out[:1], atol=1e-5)
    shared = layer(*inputs, training=True)
    assert not np.allclose(shared[:1], out[:1], atol=1e-2)
    never = AutoCorrelation(shared_lags=False)(*inputs, training=True)
    np.testing.assert_allclose(never, out, atol=1e-6)
    always = AutoCorrelation(shared_lags=True)(*inputs)
    np.testing.assert_allclose(always, shared, atol=1e-6)


@MODES
def test_shorter_keys_are_followed_by_zeros_and_longer_ones_cut_off(training):
    query, key, value = draw(10, 6)  # heads of values are wider than those of keys
    layer = AutoCorrelation()
    out = layer(query, key, value, training=training)
    padded = [fitted(series, 10).astype("float32") for series in (key, value)]
    np.testing.assert_allclose(out, layer(query, *padded, training=training), atol=1e-5)
    short = layer(query[:, :4], key, value, training=training)
    cut = layer(query[:, :4], key[:, :4], value[:, :4], training=training)
    np.testing.assert_allclose(short, cut, atol=1e-6)


@pytest.mark.parametrize("seq_len", [8, 9])
def test_gradients_are_those_of_small_steps(seq_len):
    inputs, layer = draw(seq_len, batch=2), AutoCorrelation(factor=1.5)
    rng = np.random.default_rng(3)
    into = rng.normal(size=inputs[2].shape).astype("float32")
    tensors = [tf.constant(series * 0.3) for series in inputs]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        loss = tf.reduce_sum(layer(*tensors) * into)
    for place, gradient in enumerate(tape.gradient(loss, tensors)):
        away = rng.normal(size=gradient.shape).astype("float32")

        def at(size, place=place, away=away):
            moved = list(tensors)
            moved[place] = moved[place] + size * away
            return float(tf.reduce_sum(layer(*moved) * into))

        slope = (at(2e-3) - at(-2e-3)) / 4e-3
        assert slope == pytest.approx(
            float(np.sum(gradient * away)), rel=0.02, abs=0.01
        )


@pytest.mark.parametrize("length", [5, 6])
def test_lengths_unknown_to_the_graph_are_welcome(length):
    layer = AutoCorrelation(factor=1.5)
    function = tf.function(
        layer, input_signature=[tf.TensorSpec([None, None, 2, 3])] * 3
    )
    _, _, value = draw(length)
    inputs = value, value[:, ::-1], np.roll(value, 1, axis=0)
    np.testing.assert_allclose(function(*inputs), layer(*inputs), atol=1e-6)


@pytest.mark.parametrize("mixed_policy", ["mixed_float16"], indirect=True)
@pytest.mark.usefixtures("mixed_policy")
def test_mixed_precision_transforms_in_float32():
    layer = AutoCorrelationLayer(4, num_heads=2, factor=1.5)
    inputs = draw(11)[0].reshape(3, 11, 4)
    out, found = layer(inputs, return_correlation=True)
    assert (out.dtype, found.dtype) == (tf.float16, tf.float32)
    tf.keras.mixed_precision.set_global_policy("float32")
    exact = AutoCorrelationLayer(4, num_heads=2, factor=1.5)
    exact(inputs)
    exact.set_weights(layer.get_weights())
    np.testing.assert_allclose(tf.cast(out, tf.float32), exact(inputs), atol=0.02)


def ported(arrays, **options):
    layer = AutoCorrelationLayer(
        8, num_heads=int(arrays["n_heads"]), factor=float(arrays["factor"]), **options
    )
    names = {"q": "query", "k": "key", "v": "value", "o": "out"}
    layer.load_torch_state_dict(
        {
            f"{long}_projection.{kind}": arrays[f"{kind[0]}_{short}"]
            for short, long in names.items()
            for kind in ("weight", "bias")
        }
    )
    return layer


@CASES
@MODES
def test_it_is_the_originals_layer_with_the_originals_weights(name, training):
    arrays = golden(name)
    mode = "train" if training else "eval"
    layer = ported(arrays)
    inputs = arrays["x_q"], arrays["x_kv"]
    out, found = layer(*inputs, training=training, return_correlation=True)
    np.testing.assert_allclose(found, arrays["corr"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(out, arrays[f"out_{mode}"], rtol=1e-4, atol=1e-4)
    lags = layer.lags(*inputs, training=training)
    np.testing.assert_allclose(lags.correlation, arrays["mean_corr"], rtol=1e-4)
    delays = np.broadcast_to(arrays[f"delays_{mode}"], lags.delays.shape)
    np.testing.assert_array_equal(lags.delays, delays)
    core = AutoCorrelation(factor=float(arrays["factor"]))
    heads = (arrays[f"{name}_heads"] for name in "qkv")
    np.testing.assert_allclose(
        core(*heads, training=training), arrays[f"core_{mode}"], rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("seed", range(3))
def test_a_new_layer_finds_the_period_of_a_series(seed):
    tf.keras.utils.set_random_seed(seed)
    series = np.tile(draw(6)[0].reshape(3, 6, 4), [1, 4, 1])
    lags = AutoCorrelationLayer(4, num_heads=2, factor=1.3).lags(series)
    assert np.sort(lags.delays, axis=1).tolist() == [[0, 6, 12, 18]] * 3


@pytest.mark.parametrize(("seq_len", "taught"), [(5, False), (12, True)])
def test_query_and_key_learn_where_lags_compete(seq_len, taught):
    """With one lag its weight is 1, whatever query and key are."""
    layer = AutoCorrelationLayer(4, num_heads=2)
    inputs = draw(seq_len)[0].reshape(3, seq_len, 4)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(inputs, training=True) ** 2)
    gradients = dict(
        zip(
            [weight.name for weight in layer.trainable_weights],
            tape.gradient(loss, layer.trainable_weights),
            strict=True,
        )
    )
    assert len(gradients) == 8
    kernels = [np.abs(g).max() for name, g in gradients.items() if "kernel" in name]
    assert np.isfinite(kernels).all()
    assert [size > 1e-6 for size in kernels] == [taught, taught, True, True]


def test_padding_neither_correlates_nor_is_added_up():
    layer = AutoCorrelationLayer(4, num_heads=2, factor=1.5)
    inputs = draw(11)[0].reshape(3, 11, 4)
    layer(inputs)
    rng = np.random.default_rng(2)
    layer.set_weights([rng.normal(size=w.shape) * 0.4 for w in layer.get_weights()])
    mask = np.arange(11) < np.array([[11], [7], [4]])
    changed = np.where(mask[:, :, None], inputs, -3).astype("float32")
    out = layer(inputs, query_mask=mask)
    np.testing.assert_allclose(layer(changed, query_mask=mask), out, atol=1e-5)
    assert not np.allclose(layer(changed)[1, :7], out[1, :7], atol=1e-2)
    # Keys and values of another series have a mask of their own.
    crossed = layer(inputs, changed, query_mask=mask, key_mask=mask)
    np.testing.assert_allclose(crossed, out, atol=1e-5)
    assert not np.allclose(layer(inputs, changed), layer(inputs), atol=1e-2)


@pytest.mark.parametrize(
    ("cls", "options", "message"),
    [
        (AutoCorrelation, {"factor": 0}, "`factor` must be above 0. Got 0"),
        (AutoCorrelation, {"factor": np.nan}, "`factor` must be above 0. Got nan"),
        (AutoCorrelation, {"min_lags": -1}, "`min_lags` must be at least 0. Got -1"),
        (AutoCorrelation, {"min_lags": 1.5}, "`min_lags` must be a whole number"),
        (AutoCorrelation, {"shared_lags": "no"}, "must be True or False. Got 'no'"),
        (AutoCorrelation, {"direction": 0}, "`direction` must be 1 or -1. Got 0"),
        (
            lambda **options: AutoCorrelationLayer(4, **options),
            {"num_heads": 5},
            "`num_heads` must be at least 1 and at most.*Got 5 heads for a width of 4",
        ),
    ],
)
def test_wrong_arguments_are_named(cls, options, message):
    with pytest.raises(ValueError, match=message):
        cls(**options)


def test_a_shape_that_does_not_fit_is_named():
    query, key, value = draw(6, 4)
    layer = AutoCorrelation()
    with pytest.raises(ValueError, match=r"Got shapes \(3, 6, 2, 2\), \(3, 4, 2, 3\)"):
        layer(query, value, key)
    with pytest.raises(ValueError, match="with a step or more"):
        layer(query[:, :0], key, value)
