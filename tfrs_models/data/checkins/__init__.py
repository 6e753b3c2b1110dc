"""Check-ins at points of interest (POIs): files, traces, distances."""

from tfrs_models.data.checkins.check_ins import CheckIns
from tfrs_models.data.checkins.distances import distance_matrix
from tfrs_models.data.checkins.reader import read_foursquare, read_gowalla
from tfrs_models.data.checkins.traces import Traces, make_traces

__all__ = [
    "CheckIns",
    "Traces",
    "distance_matrix",
    "make_traces",
    "read_foursquare",
    "read_gowalla",
]
