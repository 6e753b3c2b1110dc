import numpy as np
import pytest

from tfrs_models.layers import MLP


def test_relu_between_and_nothing_after():
    rng = np.random.default_rng(0)
    layer = MLP([5, 4, 2])
    x = rng.normal(size=(7, 3)).astype("float32")
    output = layer(x)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])
    output = layer(x)
    value = x.astype("float64")
    weights = [w.numpy() for w in layer.weights]
    for place, (kernel, bias) in enumerate(
        zip(weights[::2], weights[1::2], strict=True)
    ):
        value = value @ kernel + bias
        if place < 2:
            value = np.maximum(value, 0)
    np.testing.assert_allclose(output, value, rtol=1e-4, atol=1e-5)
    assert (output.numpy() < 0).any()


@pytest.mark.parametrize("units", [[], [3, 0]])
def test_wrong_widths_are_named(units):
    with pytest.raises(ValueError, match="`units` must be one width or more"):
        MLP(units)
