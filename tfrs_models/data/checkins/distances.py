"""Distances between all points of interest (POIs)."""

import numpy as np
import tensorflow as tf

from tfrs_models.data.checkins.check_ins import are_coordinates
from tfrs_models.ops.geography import haversine


def distance_matrix(coordinates: np.ndarray, *, block_size: int = 512) -> np.ndarray:
    """Computes great-circle distances between all pairs, a block of rows at a time.

    Args:
      coordinates: `[num_pois, 2]` latitudes and longitudes in degrees.
      block_size: number of rows to compute at once, in float64.

    Returns:
      `[num_pois, num_pois]` float32 distances in kilometres.

    Raises:
      ValueError: the shape is wrong, a coordinate is out of range, or the block size is
        below 1.

    Example:
      >>> paris, london = (48.8566, 2.3522), (51.5074, -0.1278)
      >>> tm.data.checkins.distance_matrix(np.array([paris, london])).round()
      array([[  0., 344.],
             [344.,   0.]], dtype=float32)
    """
    coordinates = np.asarray(coordinates, np.float64)
    if coordinates.ndim != 2 or coordinates.shape[1] != 2:
        raise ValueError(
            f"`coordinates` must be [num_pois, 2]. Got shape {coordinates.shape}."
        )
    wrong = np.flatnonzero(~are_coordinates(coordinates))
    if len(wrong):
        raise ValueError(
            "`coordinates` must be latitudes in [-90, 90] and longitudes in [-180, "
            f"180]. Got {coordinates[wrong[0]]} in row {wrong[0]}."
        )
    if block_size < 1:
        raise ValueError(f"`block_size` must be at least 1. Got {block_size}.")
    size = len(coordinates)
    found, pois = np.empty((size, size), np.float32), tf.constant(coordinates)
    for first in range(0, size, block_size):
        rows = pois[first : first + block_size, None]
        found[first : first + block_size] = haversine(rows, pois).numpy()
    return found
