"""Vectors of the time of a request."""

import numpy as np
import pytest

from tfrs_models.models.automtn import RequestTime


@pytest.fixture(scope="module")
def layer():
    made = RequestTime(3)
    rng = np.random.default_rng(0)
    for table in made.weights:
        table.assign(rng.normal(size=table.shape))
    return made


def request(hour, weekday):
    return {
        "request_hour": np.array([hour]),
        "request_weekday": np.array([weekday]),
    }


@pytest.mark.parametrize(
    ("hours", "row"),
    [(0, 0), (0.2, 1), (0.99, 1), (1.01, 2), (3.9, 3), (4.1, 4), (700, 11), (9e4, 11)],
)
def test_vectors_of_hour_weekday_and_gap_are_summed_up(layer, hours, row):
    found = layer(request(7, 2), np.array([hours * 3600], "float32"))
    expected = layer.hours[7] + layer.weekdays[2] + layer.gaps[row]
    np.testing.assert_allclose(found[0], expected, rtol=1e-6)


def test_an_unknown_time_has_no_vector(layer):
    gap = np.zeros(1, "float32")
    known = layer(request(7, 2), gap) - layer.hours[7]
    np.testing.assert_allclose(layer(request(-1, 2), gap), known, atol=1e-6)
    found = layer(request(-1, -1), gap)
    np.testing.assert_allclose(found[0], layer.gaps[0], rtol=1e-6)


def test_a_width_of_0_is_an_error():
    with pytest.raises(ValueError, match="`embedding_dim` must be at least 1. Got 0"):
        RequestTime(0)
