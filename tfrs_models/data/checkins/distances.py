"""Distances between all places."""

import numpy as np
import tensorflow as tf

from tfrs_models.data.checkins.check_ins import are_places
from tfrs_models.ops.geography import haversine


def distance_matrix(coordinates: np.ndarray, *, block_size: int = 512) -> np.ndarray:
    """Great-circle distances, a block of rows at a time.

    Args:
      coordinates: `[num_places, 2]` latitudes and longitudes in degrees.
      block_size: Rows that are computed at once, in float64.

    Returns:
      `[num_places, num_places]` float32 kilometres.

    Raises:
      ValueError: a wrong shape, numbers that are no places, or a block of no rows.
    """
    coordinates = np.asarray(coordinates, np.float64)
    if coordinates.ndim != 2 or coordinates.shape[1] != 2:
        raise ValueError(
            f"`coordinates` must be [num_places, 2]. Got shape {coordinates.shape}."
        )
    wrong = np.flatnonzero(~are_places(coordinates))
    if len(wrong):
        raise ValueError(
            "`coordinates` must be latitudes in [-90, 90] and longitudes in [-180, "
            f"180]. Got {coordinates[wrong[0]]} in row {wrong[0]}."
        )
    if block_size < 1:
        raise ValueError(f"`block_size` must be at least 1. Got {block_size}.")
    size = len(coordinates)
    found, places = np.empty((size, size), np.float32), tf.constant(coordinates)
    for first in range(0, size, block_size):
        rows = places[first : first + block_size, None]
        found[first : first + block_size] = haversine(rows, places).numpy()
    return found
