import functools

import numpy as np
import pytest
import tensorflow as tf

from tests.dropouts import dropouts_that_drop
from tfrs_models.layers import MultiHeadAttention, TransformerBlock
from tfrs_models.layers.attention.transformer import BilinearTargetAttention

RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(2, 5, 6)).astype("float32")
MASK = np.tril(np.ones((5, 5), bool))[None] & (RNG.random((2, 1, 5)) < 0.7)
MASK[:, :, 0] = True  # every position sees something


def trained(**options):
    """A block whose weights are all another: no bias of 0, no scale of 1."""
    block = TransformerBlock(6, **options)
    block(INPUTS, MASK)
    rng = np.random.default_rng(1)
    block.set_weights([rng.normal(size=w.shape) * 0.5 for w in block.get_weights()])
    return block


def loops(block, inputs, mask, num_heads):
    """Pre-norm attention and feed-forward, position by position."""
    by_shape = {}
    for weight in block.weights:
        by_shape.setdefault(tuple(weight.shape), []).append(weight.numpy())
    # The norms come first, each its scale and its shift.
    gammas, betas = by_shape[6,][0::2][:2], by_shape[6,][1::2][:2]
    (project,), (project_bias,) = by_shape[6, 18], by_shape[18,]
    (merge,), (inner,), (outer,) = by_shape[6, 6], by_shape[6, 7], by_shape[7, 6]
    merge_bias, outer_bias = by_shape[6,][4:]
    (inner_bias,) = by_shape[7,]
    width = 6 // num_heads

    def norm(x, which):
        centred = x - x.mean()
        return (
            centred / np.sqrt((centred**2).mean() + 1e-3) * gammas[which] + betas[which]
        )

    output = np.zeros_like(inputs, "float64")
    for row, (positions, seen) in enumerate(zip(inputs, mask, strict=True)):
        normed = [norm(x.astype("float64"), 0) for x in positions]
        for i, x in enumerate(positions):
            merged = []
            for head in range(num_heads):
                columns = slice(head * width, (head + 1) * width)
                q, k, v = (
                    [n @ matrix[:, columns] + shift[columns] for n in normed]
                    for matrix, shift in zip(
                        np.split(project, 3, axis=1),
                        np.split(project_bias, 3),
                        strict=True,
                    )
                )
                scores = [
                    q[i] @ k[j] / np.sqrt(width) if seen[i, j] else -np.inf
                    for j in range(len(normed))
                ]
                weight = np.exp(np.array(scores) - max(scores))
                weight /= weight.sum()
                merged += list(sum(w * vj for w, vj in zip(weight, v, strict=True)))
            hidden = x + np.array(merged) @ merge + merge_bias
            wide = np.maximum(norm(hidden, 1) @ inner + inner_bias, 0)
            output[row, i] = hidden + wide @ outer + outer_bias
    return output


@pytest.mark.parametrize("num_heads", [1, 2])
def test_it_is_pre_norm_attention_and_a_feed_forward_layer(num_heads):
    block = trained(num_heads=num_heads, hidden_units=7)
    np.testing.assert_allclose(
        block(INPUTS, MASK), loops(block, INPUTS, MASK, num_heads), rtol=1e-4, atol=1e-4
    )


def test_what_is_masked_has_no_influence():
    block = trained()
    inputs = INPUTS.copy()
    hidden = ~MASK.any(axis=1)  # [batch, seq_len], seen by nobody
    inputs[hidden] = 1e3
    before, after = block(INPUTS, MASK).numpy(), block(inputs, MASK).numpy()
    np.testing.assert_array_equal(after[~hidden], before[~hidden])


def test_training_drops():
    block = trained(dropout=0.5)
    calm = block(INPUTS, MASK)
    np.testing.assert_array_equal(block(INPUTS, MASK), calm)
    assert not np.allclose(block(INPUTS, MASK, training=True), calm)


@pytest.mark.parametrize("memory", [None, INPUTS[:, ::-1]])
def test_the_attention_drops_its_weights_in_training(memory):
    layer = MultiHeadAttention(6, num_heads=2, dropout=0.5)
    options = {} if memory is None else {"memory": memory}
    call = functools.partial(layer, INPUTS, MASK, **options)
    assert dropouts_that_drop(layer, call) == [True]
    weights = layer.weights_of(INPUTS, MASK, **options)
    np.testing.assert_allclose(tf.reduce_sum(weights, axis=3), 1.0, rtol=1e-5)


def test_the_attention_scales_what_it_does_not_drop():
    layer = MultiHeadAttention(6, num_heads=2, dropout=0.5)
    calm = layer(INPUTS, MASK).numpy()
    tf.keras.utils.set_random_seed(3)
    dropped = [layer(INPUTS, MASK, training=True) for _ in range(400)]
    assert np.abs(np.mean(dropped, axis=0) - calm).mean() < 0.2 * np.abs(calm).mean()


@pytest.mark.parametrize("norm_first", [True, False])
def test_every_dropout_of_a_block_drops(norm_first):
    block = trained(dropout=0.5, hidden_dropout=0.5, norm_first=norm_first)
    found = dropouts_that_drop(block, functools.partial(block, INPUTS, MASK))
    assert found == 3 * [True]  # the attention, both outputs, the hidden layer


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_heads": 4}, "`num_heads` must.*divide `embedding_dim`. Got 4 heads"),
        ({"num_heads": 0}, "`num_heads` must be at least 1"),
        ({"dropout": 1.0}, r"`dropout` must be in \[0, 1\). Got 1.0"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        TransformerBlock(6, **options)


def test_half_precision_is_welcome():
    block = trained()
    half = block(tf.cast(INPUTS, tf.bfloat16), MASK)
    np.testing.assert_allclose(
        tf.cast(half, tf.float32), block(INPUTS, MASK), rtol=0.1, atol=0.2
    )


@pytest.mark.parametrize("make", [MultiHeadAttention, TransformerBlock])
def test_weights_may_be_looked_at_before_the_first_call(make):
    layer = make(6, num_heads=2)
    before = layer.weights_of(INPUTS, MASK)
    layer(INPUTS, MASK)
    np.testing.assert_allclose(layer.weights_of(INPUTS, MASK), before, rtol=1e-5)


def test_a_summary_of_a_history_shows_its_weights_before_the_first_call():
    layer, mask = BilinearTargetAttention(), np.ones((2, 5), bool)
    before = layer.weights_of(tf.constant(INPUTS), INPUTS[:, :2], mask)
    layer(tf.constant(INPUTS), INPUTS[:, :2], mask)
    after = layer.weights_of(tf.constant(INPUTS), INPUTS[:, :2], mask)
    np.testing.assert_array_equal(after, before)
