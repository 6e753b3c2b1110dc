"""Distances on the earth by the law of cosines, for tests of several areas."""

import math

import numpy as np


def kilometres(left, right):
    """The law of cosines on a sphere, which shares no formula with the package."""
    (lat, lon), (other_lat, other_lon) = np.radians(left), np.radians(right)
    cosine = math.sin(lat) * math.sin(other_lat)
    cosine += math.cos(lat) * math.cos(other_lat) * math.cos(lon - other_lon)
    return 6371.0088 * math.acos(min(cosine, 1.0))
