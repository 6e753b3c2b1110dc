"""Distances between all places."""

import numpy as np
import tensorflow as tf

from tfrs_models.ops.geography import haversine


def distance_matrix(coordinates: np.ndarray, *, block_size: int = 512) -> np.ndarray:
    """Great-circle distances, a block of rows at a time.

    Args:
      coordinates: `[num_places, 2]` latitudes and longitudes in degrees.
      block_size: Rows that are computed at once, in float64.

    Returns:
      `[num_places, num_places]` float32 kilometres.

    Raises:
      ValueError: a wrong shape, or a block of no rows.
    """
    coordinates = np.asarray(coordinates, np.float64)
    if coordinates.ndim != 2 or coordinates.shape[1] != 2:
        raise ValueError(
            f"`coordinates` must be [num_places, 2]. Got shape {coordinates.shape}."
        )
    if block_size < 1:
        raise ValueError(f"`block_size` must be at least 1. Got {block_size}.")
    size = len(coordinates)
    found, places = np.empty((size, size), np.float32), tf.constant(coordinates)
    for first in range(0, size, block_size):
        rows = places[first : first + block_size, None]
        found[first : first + block_size] = haversine(rows, places).numpy()
    return found
