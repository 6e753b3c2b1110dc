"""The contrasts of UniSAR, against golden arrays and loops."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.models.unisar import PairInfoNCE, TransitionContrast
from tfrs_models.models.unisar.objective import pair_info_nce, transition_contrast

GOLDEN = pathlib.Path(__file__).parents[2] / "golden"
RNG = np.random.default_rng(0)
WIDTH = 4


def normal(*shape):
    return RNG.normal(size=shape).astype("float32")


WEIGHT = normal(WIDTH, WIDTH)


def views(rows=5):
    return normal(rows, WIDTH), normal(rows, WIDTH)


def test_transitions_are_contrasted_as_in_the_original():
    arrays = np.load(GOLDEN / "unisar_transalign.npz")
    layer = TransitionContrast(log_temperature=False)
    weights = {
        "weight_matrix": arrays["weight_matrix"],
        "infoNCE_temp": arrays["temp"],
    }
    assert layer.load_torch_state_dict(weights) == []
    given = arrays["same_his"], arrays["diff_his"]
    loss = layer(*given, ~arrays["his_mask"])
    np.testing.assert_allclose(loss, arrays["loss"], rtol=1e-4)
    as_logarithm = TransitionContrast()
    as_logarithm.load_torch_state_dict(weights)
    loss = as_logarithm(*given, ~arrays["his_mask"])
    np.testing.assert_allclose(loss, arrays["loss"], rtol=1e-4)


def test_pairs_are_contrasted_as_in_the_original():
    arrays = np.load(GOLDEN / "unisar_infonce.npz")
    layer = PairInfoNCE(log_temperature=False)
    layer.load_torch_state_dict(
        {"weight_matrix": arrays["weight_matrix"], "temp": arrays["temp"]}
    )
    query, item = arrays["query"], arrays["item"]
    total = layer(query, item, arrays["neg_query"], arrays["neg_item"])
    np.testing.assert_allclose(total / 7, arrays["loss"], rtol=1e-4)
    options = {"weight": arrays["weight_matrix"], "temperature": arrays["temp"]}
    for given, name in (
        ((query, item, arrays["neg_item"]), "loss_q2i"),
        ((item, query, arrays["neg_query"]), "loss_i2q"),
    ):
        loss = pair_info_nce(*given, **options)
        np.testing.assert_allclose(loss / 7, arrays[name], rtol=1e-4)


def transitions_by_loops(cross, own, include, temperature):
    rows = [row for row in range(len(include)) if include[row]]
    vectors = [(row, cross[row]) for row in rows] + [(row, own[row]) for row in rows]
    losses = np.zeros(len(include))
    for place, (row, vector) in enumerate(vectors):
        scores = {
            other: np.tanh(vector @ WEIGHT @ vectors[other][1]) / temperature
            for other in range(len(vectors))
            if other != place
        }
        (own_view,) = (o for o in scores if vectors[o][0] == row)
        mass = np.log(sum(np.exp(score) for score in scores.values()))
        losses[row] += (mass - scores[own_view]) / 2
    return losses


@pytest.mark.parametrize(
    "include",
    [[True] * 5, [True, False, True, True, False], [False, True] + [False] * 3],
)
def test_users_without_a_view_are_neither_positives_nor_negatives(include):
    cross, own = views()
    found = transition_contrast(
        cross, own, tf.constant(include), weight=WEIGHT, temperature=0.5
    )
    wanted = transitions_by_loops(cross, own, include, 0.5)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_both_views_are_alike_to_the_contrast():
    cross, own = views()
    options = {"weight": WEIGHT, "temperature": 0.3}
    include = tf.ones([5], tf.bool)
    np.testing.assert_allclose(
        transition_contrast(cross, own, include, **options),
        transition_contrast(own, cross, include, **options),
        rtol=1e-5,
    )


def test_views_that_coincide_cost_less():
    cross, own = views()
    options = {"weight": np.eye(WIDTH, dtype="float32"), "temperature": 0.3}
    include = tf.ones([5], tf.bool)
    apart = transition_contrast(cross, own, include, **options)
    same = transition_contrast(cross, cross, include, **options)
    assert float(tf.reduce_mean(same)) < float(tf.reduce_mean(apart))


def test_a_similarity_of_zero_is_chance():
    cross, own = views()
    zero = np.zeros_like(WEIGHT)
    losses = transition_contrast(
        cross, own, tf.ones([5], tf.bool), weight=zero, temperature=0.1
    )
    np.testing.assert_allclose(losses, np.log(9), rtol=1e-5)
    loss = pair_info_nce(cross, own, normal(11, WIDTH), weight=zero, temperature=0.1)
    np.testing.assert_allclose(loss / 5, np.log(12), rtol=1e-5)


def test_padding_and_users_without_events_do_not_count():
    cross, own = normal(4, 3, WIDTH), normal(4, 3, WIDTH)
    valid = np.array([[1, 1, 0], [0, 0, 0], [1, 0, 0], [1, 1, 1]], bool)
    layer = TransitionContrast(0.4)
    layer(cross, own, valid)
    layer.kernel.assign(WEIGHT)
    found = layer(cross, own, valid)
    means = [
        [
            row[real].mean(axis=0)
            for row, real in zip(view, valid, strict=True)
            if real.any()
        ]
        for view in (cross, own)
    ]
    wanted = transitions_by_loops(*means, [True] * 3, 0.4).mean()
    np.testing.assert_allclose(found, wanted, rtol=1e-4)
    moved = np.where(valid[..., None], cross, 9).astype("float32")
    np.testing.assert_array_equal(layer(moved, own, valid), found)
    assert layer(cross, own, np.zeros_like(valid)) == 0


def test_gradients_reach_both_views_weight_and_temperature():
    layer = TransitionContrast()
    tensors = [tf.constant(view) for view in (normal(4, 3, WIDTH), normal(4, 3, WIDTH))]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        loss = layer(*tensors, np.ones([4, 3], bool))
    sources = [*tensors, layer.kernel, layer.temperature_weight]
    assert all(np.any(gradient) for gradient in tape.gradient(loss, sources))


def test_no_pair_costs_nothing():
    layer = PairInfoNCE()
    none = np.zeros([0, WIDTH], "float32")
    with tf.GradientTape() as tape:
        loss = layer(none, none, normal(3, WIDTH), normal(5, WIDTH), training=True)
    assert loss == 0
    assert not np.any(tape.gradient(loss, layer.kernel))


def test_widths_that_differ_are_named():
    with pytest.raises(ValueError, match=r"same width. Got \[4, 4, 3\]"):
        pair_info_nce(*views(), normal(2, 3), weight=WEIGHT, temperature=1.0)
