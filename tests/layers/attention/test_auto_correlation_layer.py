"""Projections of padded series against loops; new layers depend on no tie of lags."""

import numpy as np
import pytest
import tensorflow as tf

from tests.layers.attention.auto_correlation_loops import loops
from tfrs_models import towers
from tfrs_models.data import Feature
from tfrs_models.layers import AutoCorrelationLayer
from tfrs_models.models import AutoMTN
from tfrs_models.models.automtn import CrossModalStack

HEADS, KEY_DIM, VALUE_DIM = 2, 3, 5
seeds = pytest.mark.parametrize("seed", range(3))


def small(*shape, seed):
    """Of small numbers all lags weigh about the same: another lag is another answer."""
    rng = np.random.default_rng(seed)
    return (0.1 * rng.normal(size=shape)).astype("float32")


def row_by_row(function, *inputs):
    rows = range(len(inputs[0]))
    return np.concatenate([function(*(v[i : i + 1] for v in inputs)) for i in rows])


def assert_alike(ours, expected):
    scale = np.std(expected)
    np.testing.assert_allclose(ours / scale, expected / scale, atol=1e-3)


@seeds
@pytest.mark.parametrize("seq_len", [24, 50])
def test_a_row_alone_has_the_lags_that_it_has_in_a_batch(seed, seq_len):
    tf.keras.utils.set_random_seed(seed)
    layer = AutoCorrelationLayer(16, num_heads=4)
    series = small(32, seq_len, 16, seed=seed)
    assert_alike(row_by_row(layer, series), layer(series).numpy())
    lags = row_by_row(lambda row: layer.lags(row).delays, series)
    np.testing.assert_array_equal(lags, layer.lags(series).delays)


@seeds
@pytest.mark.parametrize("seq_len", [24, 50])
def test_a_series_that_begins_elsewhere_has_the_same_lags(seed, seq_len):
    tf.keras.utils.set_random_seed(seed)
    layer = AutoCorrelationLayer(16, num_heads=4)
    series = small(32, seq_len, 16, seed=seed)
    later = np.roll(series, 3, axis=1)
    assert_alike(layer(later), np.roll(layer(series), 3, axis=1))
    expected = layer.lags(series).delays
    np.testing.assert_array_equal(layer.lags(later).delays, expected)


@seeds
@pytest.mark.parametrize("use_residual", [False, True])
def test_traces_that_begin_elsewhere_go_through_a_stack_the_same_way(
    seed, use_residual
):
    tf.keras.utils.set_random_seed(seed)
    stack = CrossModalStack(16, num_heads=4, use_residual=use_residual)
    series = small(2, 32, 25, 16, seed=seed)
    mask = np.ones([32, 25], bool)
    expected = np.roll(stack(*series, mask), 3, axis=2)
    assert_alike(np.stack(stack(*np.roll(series, 3, axis=2), mask)), expected)


@seeds
@pytest.mark.parametrize(("seq_len", "dim"), [(12, 16), (30, 8)])
def test_a_tower_embeds_a_history_alone_as_in_a_batch(seed, seq_len, dim):
    tf.keras.utils.set_random_seed(seed)
    items = towers.FeatureTower([Feature("item_id", "id", 300)], dim)
    tower = towers.AutoCorrelationTower(
        items, dim, seq_len=seq_len, num_heads=2, factor=1.2
    )
    history = np.random.default_rng(seed).integers(1, 300, size=(32, seq_len))
    together = tower({"history": history}).numpy()
    assert_alike(row_by_row(lambda row: tower({"history": row}), history), together)


@seeds
@pytest.mark.parametrize("use_residual", [False, True])
def test_places_are_scored_alone_as_in_a_batch(seed, use_residual):
    tf.keras.utils.set_random_seed(seed)
    model = AutoMTN(50, 200, 4, 32, factor=2.0, use_residual=use_residual)
    rng = np.random.default_rng(seed)
    largest = {"poi_id": 200, "category_id": 4, "hour": 23, "weekday": 6}
    batch = {n: rng.integers(1, m + 1, size=(32, 25)) for n, m in largest.items()}
    batch["user_id"] = rng.integers(1, 51, size=32)

    def scores(*values):
        return model(dict(zip(batch, values, strict=True)))[0].numpy()

    assert_alike(row_by_row(scores, *batch.values()), scores(*batch.values()))


def test_query_and_key_begin_nearly_alike_and_repeat_by_the_seed():
    found = []
    for _ in range(2):
        tf.keras.utils.set_random_seed(3)
        layer = AutoCorrelationLayer(32, num_heads=4)
        layer(np.ones([1, 5, 32], "float32"))
        found.append(layer.get_weights())
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
    kernels = {w.name: w.numpy() for w in layer.weights if "kernel" in w.name}
    query, key, _, _ = kernels.values()
    apart = (key - query).std() / query.std()
    assert 1e-4 < apart < 0.02
    assert len(found[0]) == 8


@pytest.mark.parametrize("crossed", [False, True])
def test_padding_is_zero_after_the_projection_whatever_the_bias(crossed):
    rng = np.random.default_rng(0)
    query, key = (rng.normal(size=(3, 11, 4)).astype("float32") for _ in range(2))
    query_mask, key_mask = (
        np.arange(11) < np.array(sizes)[:, None] for sizes in ([11, 7, 4], [6, 11, 2])
    )
    layer = AutoCorrelationLayer(
        4, num_heads=HEADS, key_dim=KEY_DIM, value_dim=VALUE_DIM, factor=1.5
    )
    layer(query)
    layer.set_weights([rng.normal(size=w.shape) * 0.6 for w in layer.get_weights()])
    given = (query, key, query_mask, key_mask) if crossed else (query, None, query_mask)
    if not crossed:
        key, key_mask = query, query_mask
    weights = [w.numpy().astype("float64") for w in layer.weights]
    kernels, biases = weights[::2], weights[1::2]

    def projected(series, mask, place):
        out = np.zeros([3, 11, len(biases[place])])
        for row, step in zip(*np.nonzero(mask), strict=True):
            out[row, step] = series[row, step] @ kernels[place] + biases[place]
        return out.reshape(3, 11, HEADS, -1)

    heads, _ = loops(
        projected(query, query_mask, 0),
        projected(key, key_mask, 1),
        projected(key, key_mask, 2),
        3,  # floor(1.5 log 11)
    )
    expected = heads.reshape(3, 11, -1) @ kernels[3] + biases[3]
    np.testing.assert_allclose(layer(*given), expected, rtol=1e-3, atol=1e-3)
