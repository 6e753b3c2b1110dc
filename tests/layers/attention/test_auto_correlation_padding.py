"""Projections of padded series against loops."""

import numpy as np
import pytest

from tests.layers.attention.auto_correlation_loops import loops
from tfrs_models.layers import AutoCorrelationLayer

HEADS, KEY_DIM, VALUE_DIM = 2, 3, 5


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
