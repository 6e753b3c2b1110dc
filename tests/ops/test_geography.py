"""Distances on the earth against angles between vectors."""

import math

import numpy as np
import pytest

from tfrs_models.ops.geography import haversine


def kilometres(left, right):
    """The angle between two vectors from the middle of the earth."""
    vectors = []
    for latitude, longitude in (left, right):
        up, along = math.radians(latitude), math.radians(longitude)
        vectors.append(
            (
                math.cos(up) * math.cos(along),
                math.cos(up) * math.sin(along),
                math.sin(up),
            )
        )
    across = math.dist((0, 0, 0), np.cross(*vectors))
    return 6371.0088 * math.atan2(across, math.fsum(np.multiply(*vectors)))


def places(seed, size):
    rng = np.random.default_rng(seed)
    return np.stack([rng.uniform(-90, 90, size), rng.uniform(-180, 180, size)], axis=1)


@pytest.mark.parametrize(("dtype", "metres"), [("float32", 500), ("float64", 0.01)])
def test_distances_are_angles_wherever_the_places_are(dtype, metres):
    left, right = places(0, 200), places(1, 200)
    found = haversine(left.astype(dtype), right.astype(dtype))
    assert found.dtype == dtype
    expected = [kilometres(*pair) for pair in zip(left, right, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=0, atol=metres / 1000)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((0.0, 179.9), (0.0, -179.9)),
        ((-17.7, 177.5), (-18.5, -179.2)),
        ((64.7, 177.5), (64.4, -173.2)),
        ((89.9, -10.0), (89.9, 170.0)),
    ],
)
def test_the_date_line_and_the_pole_are_no_borders(left, right):
    near = kilometres(left, right)
    assert near < 500
    found = haversine(np.array([left, right]), np.array([right, left]))
    np.testing.assert_allclose(found, near, rtol=1e-9)


@pytest.mark.parametrize(
    ("dtype", "away", "jitter"), [("float32", 20, 1e-5), ("float64", 0.001, 1e-9)]
)
def test_the_other_end_of_the_world_has_a_distance(dtype, away, jitter):
    """Rounding makes some chords longer than the earth is wide, most at 57 to 61."""
    here = places(2, 20_000).astype(dtype)
    here[:, 0] = 59 + here[:, 0] / 45
    there = np.stack([-here[:, 0], here[:, 1] - 180], axis=1)
    there += np.random.default_rng(3).normal(scale=jitter, size=there.shape)
    found = haversine(here, there).numpy()
    np.testing.assert_allclose(found, math.pi * 6371.0088, rtol=0, atol=away)
