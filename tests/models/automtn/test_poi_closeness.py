import math

import numpy as np
import pytest
import tensorflow as tf

from tests.great_circle import kilometres
from tfrs_models.models.automtn import POICloseness

PARIS, LONDON, SYDNEY = (48.8566, 2.3522), (51.5074, -0.1278), (-33.8688, 151.2093)
COORDINATES = np.array([PARIS, LONDON, SYDNEY])


def matrix():
    return np.array([[kilometres(a, b) for b in COORDINATES] for a in COORDINATES])


def test_the_distance_of_two_cities_is_known():
    assert kilometres(PARIS, LONDON) == pytest.approx(343.6, abs=0.5)


def test_closeness_falls_with_the_distance_whichever_way_it_is_given():
    visited = np.array([[0, 2], [1, 1]])
    expected = np.exp(-matrix()[visited] / 5000)
    for given in ({"coordinates": COORDINATES}, {"distances": matrix()}):
        layer = POICloseness(**given, scale=5000)
        np.testing.assert_allclose(layer(visited), expected, rtol=1e-4, atol=1e-5)
        some = layer(visited, np.array([2, 0]))
        np.testing.assert_allclose(some, expected[:, :, [2, 0]], rtol=1e-4, atol=1e-5)


def test_closeness_is_worth_its_weight():
    plain, weighted = (
        POICloseness(distances=matrix(), **options) for options in ({}, {"weight": 4.0})
    )
    visited = np.array([[2, 0]])
    np.testing.assert_allclose(weighted(visited), 4 * plain(visited), rtol=1e-6)


def test_metres_are_told_apart():
    near = POICloseness(
        coordinates=[(40.7484, -73.9857), (40.7493, -73.9857)], scale=1.0
    )
    metres = -1000 * np.log(near(np.array([[0]]))[0, 0, 1])
    assert metres == pytest.approx(100, abs=1)


def test_the_scale_is_the_largest_distance():
    assert POICloseness(distances=matrix()).scale == pytest.approx(matrix().max())
    layer = POICloseness(coordinates=COORDINATES)
    assert layer.scale == pytest.approx(matrix().max(), rel=1e-4)


@pytest.mark.parametrize(
    "places",
    [
        [(0, -170), (0, 0), (0, 170)],  # neighbours across the date line
        [(0, -180), (0, 0), (0, 180)],
        [(0, 0), (60, 0), (60, 100), (0, 100)],  # the sides are longer than diagonals
        [(89, 10), (88, -170), (87, 60), (-5, 20)],
        [(1, 1)],
    ],
)
def test_the_scale_of_wide_maps_is_the_largest_distance_too(places):
    largest = max(kilometres(a, b) for a in places for b in places)
    layer = POICloseness(coordinates=np.array(places, float))
    assert layer.scale == pytest.approx(largest, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("distance", [0.0, 4.0])
def test_places_that_are_all_equally_far_are_equally_close(distance):
    layer = POICloseness(distances=np.full((3, 3), distance))
    found = layer(np.array([[0, 1, 2]])).numpy()
    np.testing.assert_allclose(found, math.exp(-1) if distance else 1.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "Exactly one of `coordinates` and `distances`.*Got neither"),
        ({"coordinates": COORDINATES, "distances": matrix()}, "Got both"),
        (
            {"coordinates": [(1, np.nan)]},
            r"`coordinates` must be latitudes in \[-90, 90\].*Got \[ 1. nan\] of 0",
        ),
        ({"coordinates": [(1, 2), (91, 2)]}, r"Got \[91.  2.\] of 1"),
        ({"coordinates": np.ones((3, 3))}, r"must be \[num_pois, 2\].*\(3, 3\)"),
        ({"distances": np.ones((3, 4))}, r"must be \[num_pois, num_pois\].*\(3, 4"),
        ({"distances": -np.ones((2, 2))}, "finite kilometres, none negative"),
        ({"distances": np.ones((2, 2)), "scale": -1.0}, "`scale` must be finite, not"),
        ({"distances": matrix(), "weight": np.nan}, "`weight` must be finite. Got nan"),
        ({"distances": {"shape": [2, 2]}}, "`scale` must be given where only a shape"),
    ],
)
def test_what_is_no_place_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        POICloseness(**options)


@pytest.mark.parametrize("kind", ["coordinates", "distances"])
def test_some_places_cost_what_they_are_and_not_all(kind):
    """The table apart, no tensor is as large as the closeness of all places."""
    degrees = np.random.default_rng(0).uniform(0, 1, size=(60, 2))
    table = degrees if kind == "coordinates" else degrees @ degrees.T
    layer = POICloseness(**{kind: table})
    visited, places = tf.TensorSpec([40, 5], tf.int64), tf.TensorSpec([3], tf.int64)
    graph = tf.function(layer).get_concrete_function(visited, places).graph
    sizes = [
        output.shape.num_elements()
        for function in (graph, *graph._functions.values())
        for operation in getattr(function, "graph", function).get_operations()
        for output in operation.outputs
        if output.shape.is_fully_defined()
    ]
    assert 40 * 5 * 3 in sizes
    assert max(size for size in sizes if size != table.size) < 40 * 5 * 60 / 4


@pytest.mark.parametrize("kind", ["coordinates", "distances"])
@pytest.mark.parametrize(
    ("visited", "places"), [([[0, 3]], None), ([[0, -1]], [1]), ([[0]], [2, 3])]
)
def test_a_place_beyond_the_table_is_named(kind, visited, places):
    layer = POICloseness(**{kind: COORDINATES if kind == "coordinates" else matrix()})
    which = "pois" if places == [2, 3] else "visited"
    message = f"`{which}` must be POIs from 0 to 2.*Rows"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        layer(np.array(visited), None if places is None else np.array(places))


def test_places_that_are_no_numbers_are_named():
    layer = POICloseness(coordinates=COORDINATES)
    with pytest.raises(ValueError, match="`visited` must be integers. Got float64"):
        layer(np.array([[0.5]]))


def test_distances_are_read_from_the_visited_poi_to_the_other():
    distances = np.array([[0.0, 1.0, 7.0], [3.0, 0.0, 2.0], [5.0, 4.0, 0.0]])
    layer = POICloseness(distances=distances, scale=2.0)
    visited, pois = np.array([[0, 2], [1, 0]]), np.array([2, 0])
    wanted = np.zeros([2, 2, 3])
    for row, step, poi in np.ndindex(2, 2, 3):
        wanted[row, step, poi] = math.exp(-distances[visited[row, step], poi] / 2)
    np.testing.assert_allclose(layer(visited), wanted, rtol=1e-6)
    np.testing.assert_allclose(layer(visited, pois), wanted[:, :, pois], rtol=1e-6)
