import numpy as np
import pytest

from tests.great_circle import kilometres
from tfrs_models.data.checkins import distance_matrix


@pytest.mark.parametrize("block_size", [1, 2, 3, 512])
def test_the_distances_of_all_pois(block_size):
    coordinates = np.array([(48.8566, 2.3522), (51.5, -0.12), (-33.9, 151.2)])
    found = distance_matrix(coordinates, block_size=block_size)
    expected = [[kilometres(a, b) for b in coordinates] for a in coordinates]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-2)


@pytest.mark.parametrize(
    ("position", "message"),
    [
        ((np.nan, 2.0), r"Got \[nan  2.\] in row 1"),
        ((2.0, -np.inf), r"Got \[  2. -inf\] in row 1"),
        ((-90.5, 2.0), r"Got \[-90.5   2. \] in row 1"),
        ((2.0, 181.0), r"Got \[  2. 181.\] in row 1"),
    ],
)
def test_distances_of_what_is_no_position_are_refused(position, message):
    with pytest.raises(ValueError, match="`coordinates` must be latitudes.*" + message):
        distance_matrix([(1.0, 2.0), position, (3.0, 4.0)])


def test_poles_and_the_date_line_are_positions():
    found = distance_matrix([(90.0, 0.0), (-90.0, 180.0), (0.0, -180.0), (0.0, 180.0)])
    assert found[0, 1] == pytest.approx(20_015, rel=1e-3)
    assert found[2, 3] == pytest.approx(0, abs=1e-3)
