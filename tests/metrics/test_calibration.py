import numpy as np
import pytest

from tfrs_models.metrics import ExpectedCalibrationError

RNG = np.random.default_rng(0)


def oracle(labels, probabilities, weights, num_bins):
    bins = {}
    for y, p, w in zip(labels, probabilities, weights, strict=True):
        place = min(int(p * num_bins), num_bins - 1)
        bins.setdefault(place, []).append((w, w * p, w * y))
    total = sum(weights)
    gap = 0.0
    for rows in bins.values():
        mass, predicted, observed = map(sum, zip(*rows, strict=True))
        if mass:
            gap += mass / total * abs(predicted / mass - observed / mass)
    return gap


@pytest.mark.parametrize("num_bins", [1, 7, 20])
def test_it_is_the_weighted_gap_over_all_batches(num_bins):
    metric = ExpectedCalibrationError(num_bins)
    labels = RNG.integers(2, size=60)
    probabilities = RNG.beta(1, 4, size=60).astype("float32")
    probabilities[:2] = 0, 1
    weights = RNG.uniform(size=60) * (RNG.uniform(size=60) > 0.3)
    for rows in np.split(np.arange(60), [10, 35]):
        metric.update_state(labels[rows], probabilities[rows], weights[rows])
    expected = oracle(labels, probabilities, weights, num_bins)
    assert float(metric.result()) == pytest.approx(expected, abs=1e-5)


def test_honest_probabilities_have_no_error_and_boasting_ones_do():
    probabilities = RNG.uniform(size=200_000)
    labels = RNG.uniform(size=200_000) < probabilities
    honest, boasting = ExpectedCalibrationError(), ExpectedCalibrationError()
    honest.update_state(labels, probabilities)
    boasting.update_state(labels, np.where(probabilities > 0.5, 0.99, 0.01))
    assert float(honest.result()) < 0.01
    assert float(boasting.result()) == pytest.approx(0.24, abs=0.01)


def test_the_curve_holds_the_bins():
    metric = ExpectedCalibrationError(2)
    metric.update_state([0, 1, 1, 1], [0.1, 0.3, 0.6, 0.8])
    weight, predicted, observed = (v.numpy().tolist() for v in metric.curve())
    assert weight == [2, 2]
    assert predicted == pytest.approx([0.2, 0.7])
    assert observed == [0.5, 1]
    metric.reset_state()
    assert [v.numpy().tolist() for v in metric.curve()] == [[0, 0]] * 3
    assert float(metric.result()) == 0


def test_a_wrong_number_of_bins_is_named():
    with pytest.raises(ValueError, match="`num_bins` must be at least 1. Got 0"):
        ExpectedCalibrationError(0)
