"""Typed transitions, fusion and pooling, against loops and by what they must not do."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from tests.dropouts import dropouts_that_drop
from tfrs_models.layers import MultiHeadAttention
from tfrs_models.models.unisar import (
    BilinearTargetAttention,
    CrossFusion,
    TypedTransition,
)
from tfrs_models.models.unisar.transitions import ServiceTransitions, positions_by_time

RNG = np.random.default_rng(0)
ITEMS, SESSIONS, WIDTH = 4, 3, 6


TRUE = np.ones([2, 5], bool)


def normal(*shape):
    return RNG.normal(size=shape).astype("float32")


def trained(layer, *inputs):
    """The layer with weights that are all another."""
    layer(*inputs)
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=w.shape) * 0.4 for w in layer.get_weights()])
    return layer


TIMES = np.array([[10, 20, 35, 50], [5, 30, 0, 0]]), np.array([[15, 20, 60], [6, 0, 0]])


@pytest.mark.parametrize("row", [0, 1])
def test_events_alternate_as_in_the_originals_sampler(row):
    ids = np.array([[3, 5, 2, 7, 1, 2, 4], [4, 9, 0, 0, 3, 0, 0]])
    types = np.array([1, 1, 1, 1, 2, 2, 2])
    positions = positions_by_time(np.concatenate(TIMES, axis=1)).numpy()
    order = np.argsort(positions[row])
    wanted = [[3, 1, 5, 2, 2, 7, 4], [4, 3, 9, 0, 0, 0, 0]][row]
    wanted_types = [[1, 2, 1, 2, 1, 1, 2], [1, 2, 1, 1, 1, 2, 2]][row]
    np.testing.assert_array_equal(ids[row][order], wanted)
    np.testing.assert_array_equal(types[order], wanted_types)


def test_times_of_any_size_are_in_order():
    rng = np.random.default_rng(2)
    times = rng.integers(2**60, 2**60 + 4, size=(5, 9)) * rng.integers(2, size=(5, 9))
    positions = positions_by_time(times).numpy()
    for row, found in zip(times, positions, strict=True):
        keys = [(t == 0, t, place) for place, t in enumerate(row)]
        wanted = [sorted(keys).index(key) for key in keys]
        np.testing.assert_array_equal(found, wanted)


def attention_by_loops(query, memory, mask, layer):
    """One row, one head after the other; what sees nothing gets nothing."""
    project, bias, merge, merge_bias = layer.get_weights()
    heads, width = layer.num_heads, WIDTH // layer.num_heads
    output = np.zeros([len(query), WIDTH])
    for i, x in enumerate(query):
        merged = np.zeros(WIDTH)
        for head in range(heads):
            part = slice(head * width, (head + 1) * width)
            q = (x @ project[:, :WIDTH] + bias[:WIDTH])[part]
            seen = [j for j in range(len(memory)) if mask[i, j]]
            if not seen:
                continue
            k, v = (
                [
                    (memory[j] @ project[:, a : a + WIDTH] + bias[a : a + WIDTH])[part]
                    for j in seen
                ]
                for a in (WIDTH, 2 * WIDTH)
            )
            scores = np.exp([q @ key / np.sqrt(width) for key in k])
            scores /= scores.sum()
            merged[part] = sum(s * value for s, value in zip(scores, v, strict=True))
        output[i] = merged @ merge + merge_bias
    return output


@pytest.mark.parametrize("has_memory", [False, True])
def test_attention_is_that_of_loops_and_nothing_where_all_is_hidden(has_memory):
    inputs = normal(2, 3, WIDTH)
    memory = normal(2, 5, WIDTH) if has_memory else inputs
    mask = RNG.random((2, 3, memory.shape[1])) < 0.6
    mask[1, 2] = False
    layer = MultiHeadAttention(WIDTH, num_heads=2)
    layer = trained(layer, inputs, mask, memory if has_memory else None)
    found = layer(inputs, mask, memory if has_memory else None)
    for row in range(2):
        wanted = attention_by_loops(inputs[row], memory[row], mask[row], layer)
        np.testing.assert_allclose(found[row], wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[1, 2], layer.get_weights()[3], rtol=1e-5)
    sums = layer.weights_of(inputs, mask, memory).numpy().sum(axis=-1)
    expected = np.broadcast_to(mask.any(-1)[:, None], sums.shape)
    np.testing.assert_allclose(sums, expected, atol=1e-5)


@pytest.mark.parametrize("across", [True, False])
def test_an_event_sees_the_types_that_it_should_and_no_padding(across):
    types = np.array([[0, 1, 0, 1, 2]])
    valid = np.array([[True, True, True, False, True]])
    inputs = normal(1, 5, WIDTH)
    layer = trained(TypedTransition(WIDTH, across=across), inputs, types, valid)
    base = layer(inputs, types, valid).numpy()[0]
    for source in range(5):
        moved = inputs.copy()
        moved[0, source] = moved[0, source, ::-1]
        change = np.abs(layer(moved, types, valid).numpy()[0] - base).max(axis=1)
        for target in range(5):
            same = types[0, source] == types[0, target]
            sees = valid[0, source] and (same != across)
            assert (change[target] > 1e-6) == (sees or source == target)


def transitions(**options):
    layer = ServiceTransitions(WIDTH, seq_len=ITEMS, num_sessions=SESSIONS, **options)
    return trained(layer, *events())


def events():
    rng = np.random.default_rng(3)
    items = rng.normal(size=(2, ITEMS, WIDTH)).astype("float32")
    sessions = rng.normal(size=(2, SESSIONS, WIDTH)).astype("float32")
    return items, sessions, tuple(map(tf.constant, TIMES))


@pytest.mark.parametrize("service", ["items", "sessions"])
def test_one_event_reaches_all_of_the_other_service_and_none_of_its_own(service):
    layer, (items, sessions, times) = transitions(), events()
    base = layer(items, sessions, times)
    moved = [items.copy(), sessions.copy()]
    moved[service == "sessions"][0, 1, :3] += 1
    found = layer(*moved, times)

    def changes(name):
        old, new = (getattr(state, name).numpy()[0] for state in (base, found))
        return np.abs(new - old).max(axis=1) > 1e-6

    own, other, within, far = (
        (
            "search_to_recommendation",
            "recommendation_to_search",
            "within_recommendation",
            "within_search",
        )
        if service == "items"
        else (
            "recommendation_to_search",
            "search_to_recommendation",
            "within_search",
            "within_recommendation",
        )
    )
    np.testing.assert_array_equal(np.flatnonzero(changes(own)), [1])  # its residual
    assert changes(other).all()
    assert changes(within).all()
    assert not changes(far).any()


def test_the_order_of_times_counts_and_only_their_order():
    layer, (items, sessions, times) = transitions(), events()
    base = layer(items, sessions, times)
    stretched = tuple(tf.where(time > 0, 7 * time + 3, 0) for time in times)
    other = tf.constant([[1, 2, 60], [6, 0, 0]])
    for name in ("search_to_recommendation", "recommendation_to_search"):
        old = getattr(base, name)
        same = getattr(layer(items, sessions, stretched), name)
        np.testing.assert_array_equal(same, old)
        moved = getattr(layer(items, sessions, (times[0], other)), name)
        assert np.abs(moved - old)[0].max() > 1e-4


def test_attention_across_has_no_weight_within_a_service_or_on_padding():
    layer, given = transitions(), events()
    (weights,) = layer.weights_across(*given)
    weights = weights.numpy()
    assert not weights[:, :, :ITEMS, :ITEMS].any()
    assert not weights[:, :, ITEMS:, ITEMS:].any()
    assert not weights[1, :, :, 2:ITEMS].any()
    assert not weights[1, :, :, ITEMS + 1 :].any()
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-5)


def test_fusion_reads_its_memory_and_no_padding():
    inputs, memory = normal(2, 4, WIDTH), normal(2, 4, WIDTH)
    valid = np.array([[True, True, True, False], [False] * 4])
    layer = trained(CrossFusion(WIDTH), inputs, memory, valid)
    base = layer(inputs, memory, valid).numpy()
    assert np.isfinite(base).all()
    for part in (0, 1):
        moved = [inputs.copy(), memory.copy()]
        moved[part][:, 3, :2] += 1
        found = layer(*moved, valid).numpy()
        np.testing.assert_array_equal(found[:, :3], base[:, :3])
    moved = memory.copy()
    moved[0, 1, :2] += 1
    change = np.abs(layer(inputs, moved, valid).numpy() - base).max(axis=2)
    assert np.all(change[0] > 1e-6)
    assert not change[1].any()


def test_pooling_is_a_softmax_over_real_events_for_each_candidate():
    history, candidates = normal(3, 5, WIDTH), normal(3, 2, WIDTH)
    valid = np.array([[True] * 5, [True, False, True, False, False], [False] * 5])
    layer = trained(BilinearTargetAttention(), history, candidates, valid)
    found = layer(history, candidates, valid).numpy()
    kernel = layer.get_weights()[0]
    for row in range(2):
        for place in range(2):
            real = np.flatnonzero(valid[row])
            scores = [history[row, i] @ kernel @ candidates[row, place] for i in real]
            weights = np.exp(scores) / np.sum(np.exp(scores))
            wanted = weights @ history[row, real]
            np.testing.assert_allclose(found[row, place], wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found[2], 0)
    order = [3, 1, 4, 0, 2]
    again = layer(history[:, order], candidates, valid[:, order])
    np.testing.assert_allclose(again, found, rtol=1e-4, atol=1e-5)
    shared = layer(history, candidates[:1], valid)
    repeated = layer(history, np.repeat(candidates[:1], 3, 0), valid)
    np.testing.assert_allclose(shared, repeated, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TypedTransition(4, num_layers=0), "`num_layers` must be at least 1"),
        (
            lambda: ServiceTransitions(
                4, seq_len=2, num_sessions=2, encoders=["now", "search"]
            ),
            r"`encoders` must be among .* Got \['now'\]",
        ),
        (lambda: MultiHeadAttention(5, num_heads=2), "divide `embedding_dim`"),
        (lambda: MultiHeadAttention(4, dropout=1.0), r"`dropout` must be in \[0, 1\)"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("layer", "inputs"),
    [
        (
            lambda: TypedTransition(WIDTH, num_layers=2, dropout=0.5),
            lambda: (normal(2, 5, WIDTH), np.array([[0, 0, 1, 1, 1]]), TRUE),
        ),
        (
            lambda: CrossFusion(WIDTH, dropout=0.5),
            lambda: (normal(2, 5, WIDTH), normal(2, 5, WIDTH), TRUE),
        ),
        (
            lambda: ServiceTransitions(
                WIDTH, seq_len=ITEMS, num_sessions=SESSIONS, dropout=0.5
            ),
            events,
        ),
    ],
)
def test_every_dropout_drops_in_training_only(layer, inputs):
    tf.keras.utils.set_random_seed(0)
    layer, inputs = layer(), inputs()
    layer(*inputs)
    assert all(dropouts_that_drop(layer, functools.partial(layer, *inputs)))
