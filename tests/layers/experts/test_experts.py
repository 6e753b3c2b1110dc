"""Experts and gates against loops, the original's numbers, and bad sizes."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.layers import MLP, MultiGateExperts, ProgressiveLayered
from tfrs_models.layers.experts import gated
from tfrs_models.layers.experts.gated import Expert

GOLDEN = pathlib.Path(__file__).parents[2] / "golden" / "unisar_ple.npz"
RNG = np.random.default_rng(0)
X = RNG.normal(size=(7, 5)).astype("float32")


def dense(layer, x):
    kernel, bias = (w.numpy().astype("float64") for w in layer.weights)
    return x @ kernel + bias


def expert(layer, x):
    for part in layer.stack:
        x = np.maximum(dense(part, x), 0)
    return x


def mix(gate, x, outputs):
    """The outputs, each row weighed by the softmax of its gate."""
    logits = np.exp(dense(gate, x))
    total = np.zeros_like(outputs[0])
    for row in range(len(x)):
        for place, output in enumerate(outputs):
            total[row] += logits[row, place] / logits[row].sum() * output[row]
    return total


def test_every_task_of_mmoe_mixes_the_same_experts():
    layer = MultiGateExperts(3, num_experts=4, units=[6, 2])
    found = layer(X)
    assert len(found) == 3
    outputs = [expert(e, X) for e in layer.experts]
    for gate, output in zip(layer.gate_layers, found, strict=True):
        np.testing.assert_allclose(output, mix(gate, X, outputs), rtol=1e-4, atol=1e-6)
    for weights in layer.gates(X):
        assert weights.shape == (7, 4)
        np.testing.assert_allclose(tf.reduce_sum(weights, axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("num_levels", "units"),
    [(1, [6]), (2, [6]), (3, [6]), (2, [[6], [8]]), (None, [[4, 6], [8], [2]])],
)
def test_levels_of_ple_pass_on_what_their_gates_mix(num_levels, units):
    layer = ProgressiveLayered(
        3,
        num_shared=2,
        num_specific=4,
        units=units,
        num_levels=num_levels,
        tower_units=[3],
    )
    found = layer(X)
    num_levels = num_levels or len(units)
    if units != [6]:
        widths = [level[0].units for level in layer.shared_experts]
        assert [list(width) for width in widths] == units
        assert layer.get_config()["units"] == units
    streams, shared_stream = [X] * 3, X
    for level in range(num_levels):
        own = [
            [expert(e, stream) for e in experts]
            for experts, stream in zip(layer.task_experts[level], streams, strict=True)
        ]
        shared = [expert(e, shared_stream) for e in layer.shared_experts[level]]
        streams = [
            mix(layer.task_gates[level][task], streams[task], own[task] + shared)
            for task in range(3)
        ]
        if level < num_levels - 1:
            everything = own[0] + own[1] + own[2] + shared
            gate = layer.shared_gates[level]
            shared_stream = mix(gate, shared_stream, everything)
    assert len(layer.shared_gates) == num_levels - 1
    for tower, stream, output in zip(layer.towers, streams, found, strict=True):
        np.testing.assert_allclose(output, expert(tower, stream), rtol=1e-3, atol=1e-5)
    assert [w.shape.as_list() for w in layer.gates(X)] == [[7, 6]] * 3


def test_the_originals_weights_give_the_originals_numbers():
    arrays = np.load(GOLDEN)
    layer = ProgressiveLayered(
        2, num_shared=4, num_specific=4, units=[6], tower_units=[7, 5]
    )
    weights = {name[2:]: arrays[name] for name in arrays if name.startswith("w/")}
    assert layer.load_torch_state_dict(weights) == []
    for task, output in enumerate(layer(arrays["x"])):
        np.testing.assert_allclose(output, arrays[f"out_task{task}"], atol=1e-5)


def test_levels_of_the_original_have_widths_of_their_own():
    """A state dict of two levels of 6 and 8, as the original names its arrays."""
    rng = np.random.default_rng(2)
    arrays = {}

    def linear(name, rows, columns):
        arrays[f"{name}.weight"] = rng.normal(size=(columns, rows)).astype("float32")
        arrays[f"{name}.bias"] = rng.normal(size=columns).astype("float32")

    for level, (width, units) in enumerate([(5, 6), (6, 8)]):
        for task in range(2):
            for place in range(2):
                linear(f"task_experts.{level}.{task}.{place}.mlp.0", width, units)
            linear(f"task_gates.{level}.{task}.0", width, 3)
        linear(f"share_experts.{level}.0.mlp.0", width, units)
        linear(f"share_gates.{level}.0", width, 5)
    layer = ProgressiveLayered(2, num_shared=1, num_specific=2, units=[[6], [8]])
    layer(X)
    assert layer.load_torch_state_dict(arrays) == []

    def relu(name, x):
        return np.maximum(x @ arrays[f"{name}.weight"].T + arrays[f"{name}.bias"], 0)

    def mixed(name, x, outputs):
        logits = x @ arrays[f"{name}.weight"].T + arrays[f"{name}.bias"]
        share = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        return sum(share[:, [i]] * output for i, output in enumerate(outputs))

    streams, shared = [X, X], X
    for level in range(2):
        own = [
            [relu(f"task_experts.{level}.{t}.{p}.mlp.0", streams[t]) for p in range(2)]
            for t in range(2)
        ]
        common = [relu(f"share_experts.{level}.0.mlp.0", shared)]
        streams = [
            mixed(f"task_gates.{level}.{t}.0", streams[t], own[t] + common)
            for t in range(2)
        ]
        shared = mixed(f"share_gates.{level}.0", shared, own[0] + own[1] + common)
    for output, stream in zip(layer(X), streams, strict=True):
        np.testing.assert_allclose(output, stream, rtol=1e-4, atol=1e-5)


def test_dropout_is_of_training_only():
    layer = Expert([400], dropout=0.5)
    still = layer(X).numpy()
    np.testing.assert_array_equal(layer(X), still)
    ratio = layer(X, training=True).numpy()[still > 0] / still[still > 0]
    np.testing.assert_allclose(np.unique(ratio.round(4)), [0, 2])


def test_every_expert_learns():
    layer = ProgressiveLayered(2, num_shared=2, num_specific=2, units=[8], num_levels=2)
    with tf.GradientTape() as tape:
        loss = tf.add_n([tf.reduce_sum(output**2) for output in layer(X)])
    gradients = tape.gradient(loss, layer.trainable_variables)
    assert all(gradient is not None for gradient in gradients)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MultiGateExperts(0, num_experts=2, units=[3]), "`num_tasks` must be"),
        (lambda: MultiGateExperts(2, num_experts=0, units=[3]), "`num_experts` must"),
        (lambda: Expert([3])(tf.ones([2, 0])), "`inputs` must have a width of at l"),
        (lambda: MLP([3])(tf.ones([2, 0])), "`inputs` must have a width of at least 1"),
        (lambda: Expert([2.5]), r"`units` must be at least 1 each. Got \[2.5\]"),
        (lambda: MLP(["a"]), "`units` must be one width or more"),
        (lambda: Expert([3, 0]), "`units` must be at least 1 each"),
        (lambda: Expert([3], dropout=1.0), r"`dropout` must be in \[0, 1\)"),
        (
            lambda: ProgressiveLayered(
                2, num_shared=1, num_specific=1, units=[3], num_levels=0
            ),
            "`num_levels` must be at least 1. Got 0",
        ),
        (
            lambda: ProgressiveLayered(
                2, num_shared=1, num_specific=1, units=[[3], [4]], num_levels=3
            ),
            "`units` must have one list for each of the 3 levels",
        ),
        (
            lambda: ProgressiveLayered(2, num_shared=1, num_specific=1, units=[3, [4]]),
            "`units` must be numbers, or a list for each level",
        ),
    ],
)
def test_wrong_sizes_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("units", [[4], [4, 3, 5, 3]])
@pytest.mark.parametrize("task", [0, 1])
def test_parts_that_candidates_share_need_not_be_repeated(units, task):
    layer = ProgressiveLayered(
        2, num_shared=2, num_specific=1, units=units, tower_units=[3]
    )
    wide = [RNG.normal(size=(3, 5, width)).astype("float32") for width in (2, 4)]
    shared = [RNG.normal(size=(rows, 1, 3)).astype("float32") for rows in (3, 1)]
    parts = [wide[0], shared[0], wide[1], shared[1]]
    found = layer.call_in_parts([tf.constant(part) for part in parts], task)
    for gate in layer.task_gates[0]:
        gate.bias.assign(RNG.normal(size=3))
    for expert in layer.shared_experts[0]:
        expert.stack[0].bias.assign(RNG.normal(size=4))
    found = layer.call_in_parts([tf.constant(part) for part in parts], task)
    repeated = [np.broadcast_to(part, (3, 5, part.shape[-1])) for part in parts]
    inputs = np.concatenate(repeated, axis=-1).reshape(15, 12)
    np.testing.assert_allclose(found, layer(inputs)[task], rtol=1e-4, atol=1e-5)


def test_inputs_in_parts_are_for_one_level():
    layer = ProgressiveLayered(2, num_shared=1, num_specific=1, units=[3], num_levels=2)
    with pytest.raises(ValueError, match="`num_levels` must be 1.*Got 2"):
        layer.call_in_parts([tf.ones([2, 1, 3])], 0)


def in_parts(layer, training):
    return layer.call_in_parts([tf.constant(X)[:, None]], 1, training=training)


@pytest.mark.parametrize(
    ("make", "call", "number"),
    [
        (
            lambda: MultiGateExperts(2, num_experts=3, units=[4]),
            lambda layer, training: layer(X, training=training),
            3,
        ),
        (
            lambda: ProgressiveLayered(
                2, num_shared=2, num_specific=1, units=[[4], [3]], tower_units=[3]
            ),
            lambda layer, training: layer(X, training=training),
            2 * 4 + 2,
        ),
        (
            lambda: ProgressiveLayered(
                2, num_shared=2, num_specific=1, units=[4, 3], tower_units=[3]
            ),
            in_parts,
            3 * 2 + 1,
        ),
    ],
    ids=["MMoE", "PLE", "PLE in parts"],
)
def test_every_expert_and_tower_hears_of_training(make, call, number, monkeypatch):
    seen = []

    class Drop(tf.keras.layers.Layer):
        def call(self, inputs, training=None):
            seen.append(training)
            return inputs

    monkeypatch.setattr(gated, "Dropout", lambda _: Drop())
    layer = make()
    layer(X)
    for training in (True, False):
        seen.clear()
        call(layer, training)
        assert seen == [training] * number


@pytest.mark.parametrize(
    "make",
    [
        lambda: MultiGateExperts(2, num_experts=2, units=[40], dropout=0.5),
        lambda: ProgressiveLayered(
            2, num_shared=1, num_specific=1, units=[40], dropout=0.5
        ),
    ],
)
def test_mixed_experts_drop_in_training_only(make):
    layer = make()
    still = layer(X)
    for first, again, dropped in zip(
        still, layer(X), layer(X, training=True), strict=True
    ):
        np.testing.assert_array_equal(first, again)
        assert np.abs(first - dropped).max() > 0.01
