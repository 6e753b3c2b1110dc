import math

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.layers import SamplingProbabilityCorrection


@pytest.fixture
def logits():
    return np.random.default_rng(0).normal(size=(3, 4)).astype("float32")


def test_every_column_loses_the_log_of_its_probability(logits):
    probability = [0.9, 1e-3, 1e-12, 1.0]
    corrected = SamplingProbabilityCorrection()(logits, tf.constant(probability))
    for row in range(3):
        for col in range(4):
            expected = logits[row, col] - math.log(probability[col])
            assert float(corrected[row, col]) == pytest.approx(expected, rel=1e-5)


def test_a_floor_raises_what_is_smaller_and_cuts_what_is_above_one(logits):
    corrected = SamplingProbabilityCorrection(probability_floor=1e-2)(
        logits, tf.constant([0.0, 1e-9, 0.5, 3.0])
    )
    expected = logits - np.log([1e-2, 1e-2, 0.5, 1.0])
    np.testing.assert_allclose(corrected, expected, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_small_probabilities_survive_logits_of_half_precision(dtype):
    logits = tf.zeros([1, 2], dtype)
    corrected = SamplingProbabilityCorrection()(logits, tf.constant([1e-12, 0.5]))
    assert corrected.dtype == dtype
    np.testing.assert_allclose(
        tf.cast(corrected, tf.float32), [[27.631, 0.693]], rtol=1e-2
    )


@pytest.mark.parametrize("wrong", [-1e-9, 1.0001, np.nan])
def test_without_a_floor_a_wrong_probability_is_refused(logits, wrong):
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"(?s)at least 0 and at most"
    ):
        SamplingProbabilityCorrection()(logits, tf.constant([0.1, wrong, 0.1, 0.1]))


@pytest.mark.parametrize("floor", [0.0, -1.0, 1.5])
def test_a_floor_outside_zero_to_one_is_refused(floor):
    with pytest.raises(ValueError, match=f"`probability_floor`.*Got {floor}"):
        SamplingProbabilityCorrection(probability_floor=floor)


def test_probabilities_of_another_number_of_candidates_are_refused(logits):
    layer = SamplingProbabilityCorrection()
    for shape in ([3], [3, 1], [4, 1]):
        with pytest.raises(ValueError, match="`candidate_sampling_probability`"):
            layer(logits, tf.fill(shape, 0.1))
