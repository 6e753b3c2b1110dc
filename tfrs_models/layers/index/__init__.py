"""Layers that find the best candidates of a query."""

from tfrs_models.layers.index.brute_force import BruteForce
from tfrs_models.layers.index.ivf import IVF
from tfrs_models.layers.index.scann import ScaNN
from tfrs_models.layers.index.score_index import ScoreIndex
from tfrs_models.layers.index.streaming import Streaming

__all__ = ["BruteForce", "IVF", "ScaNN", "ScoreIndex", "Streaming"]
