"""What is held while traces score all places, by what closeness is asked for."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.models.automtn import AttentionPredictor
from tfrs_models.models.automtn.poi_scores import POIScores, Traces

STEPS, PLACES, HELD = 25, 3000, 2**23  # 32 MB of float32
softmaxes = pytest.mark.parametrize("softmax", [None, "time", "candidates"])


class Asked:
    """Closeness 0, and how many numbers each call asks for."""

    def __init__(self):
        self.sizes = []

    def __call__(self, visited, places=None):
        count = PLACES if places is None else len(places)
        self.sizes.append(math.prod([*visited.shape, count]))
        return tf.zeros([*visited.shape, count])


def make(softmax, batch):
    predictor = AttentionPredictor(STEPS, distance_mode="add", softmax=softmax)
    asked = Asked()
    traces = Traces(
        memory=tf.ones([batch, STEPS, 2]),
        visited=tf.zeros([batch, STEPS], tf.int64),
        mask=tf.ones([batch, STEPS], tf.bool),
    )
    return POIScores(predictor, tf.ones([PLACES, 2]), asked), traces, asked.sizes


@softmaxes
@pytest.mark.parametrize("batch", [1, 150, 1200])
def test_evaluation_holds_no_more_the_larger_the_batch(softmax, batch):
    scores, traces, sizes = make(softmax, batch)
    assert scores.all(traces).shape == (batch, PLACES)
    assert max(sizes) <= HELD
    visits = 2 if softmax == "candidates" else 1  # once for the mass of each step
    whole = visits * batch * STEPS * PLACES
    assert whole <= sum(sizes) <= whole + visits * max(sizes)


@softmaxes
def test_training_holds_no_more_the_larger_the_batch(softmax):
    scores, traces, sizes = make(softmax, 150)
    loss = scores.cross_entropy(traces, tf.zeros([150], tf.int32), tf.ones([150]))
    assert float(loss) == pytest.approx(150 * np.log(PLACES), rel=1e-4)
    assert max(sizes) <= HELD
    assert sum(sizes) == 150 * STEPS * PLACES


def test_a_batch_larger_than_a_block_is_scored_a_place_at_a_time(monkeypatch):
    monkeypatch.setattr("tfrs_models.models.automtn.poi_scores._STEP_SCORES", 40)
    scores, traces, sizes = make(None, 2)
    scores = scores._replace(table=tf.ones([3, 2]))
    assert scores.all(traces).shape == (2, 3)
    assert sizes == [2 * STEPS] * 3
