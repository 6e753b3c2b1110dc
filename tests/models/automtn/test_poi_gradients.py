"""Gradients of scores in blocks against those of scores that are held whole."""

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.models.automtn import AttentionPredictor, POICloseness
from tfrs_models.models.automtn.poi_scores import POIScores, Traces

BATCH, STEPS, PLACES, WIDTH = 7, 6, 23, 4
MASK = np.arange(STEPS) >= np.array([[0], [2], [5], [3], [0], [1], [4]])
PLACE = np.array([3, -1, 22, 0, 7, -1, 3])  # -1 is unknown
WEIGHT = np.array([1.0, 2.0, 0.5, 0.0, 1.5, 0.3, 1.0], "float32")


def plain(predictor, table, memory, closeness):
    """Row by row, without what is unknown."""
    scores = predictor(table, memory, closeness, MASK)
    losses = [
        WEIGHT[row] * -tf.nn.log_softmax(scores[row])[place]
        for row, place in enumerate(PLACE)
        if place >= 0
    ]
    return tf.add_n(losses)


@pytest.mark.parametrize("near", [True, False])
@pytest.mark.parametrize("softmax", [None, "time", "candidates"])
@pytest.mark.parametrize("distance_mode", ["multiply", "add"])
def test_blocks_of_rows_have_the_gradients_of_all_at_once(
    distance_mode, softmax, near, monkeypatch
):
    rows_at_once = 2 * STEPS * PLACES
    monkeypatch.setattr(
        "tfrs_models.models.automtn.poi_scores._STEP_SCORES", rows_at_once
    )
    rng = np.random.default_rng(0)
    closeness = POICloseness(coordinates=rng.uniform(40, 41, size=(PLACES, 2)))
    visited = rng.integers(PLACES, size=(BATCH, STEPS))
    predictor = AttentionPredictor(STEPS, distance_mode=distance_mode, softmax=softmax)
    predictor.value.assign(rng.normal(size=(STEPS, 1)))
    predictor.bias.assign([0.3])
    table = tf.Variable(rng.normal(size=(PLACES, WIDTH)), dtype=tf.float32)
    memory = tf.Variable(rng.normal(size=(BATCH, STEPS, WIDTH)), dtype=tf.float32)
    variables = [table, memory, predictor.value, predictor.bias]

    def blocked():
        traces = Traces(tf.convert_to_tensor(memory), visited, tf.constant(MASK))
        scores = POIScores(predictor, table, closeness if near else None)
        return scores.cross_entropy(traces, tf.constant(PLACE, tf.int32), WEIGHT)

    found = []
    for loss_of in (
        blocked,
        lambda: plain(predictor, table, memory, closeness(visited) if near else None),
    ):
        with tf.GradientTape() as tape:
            loss = loss_of()
        gradients = tape.gradient(loss, variables)
        found.append([loss, *map(tf.convert_to_tensor, gradients)])
    for ours, expected in zip(*found, strict=True):
        # The bias moves all scores alike: its gradient is 0 but for rounding.
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)
    assert all(np.abs(gradient).max() > 1e-2 for gradient in found[0][1:4])
