"""Towers from a user's history to the embedding of what comes next."""

from tfrs_models.towers.sequence.auto_correlation_tower import AutoCorrelationTower
from tfrs_models.towers.sequence.gru4rec import GRU4Rec
from tfrs_models.towers.sequence.recency_pooling import RecencyPooling
from tfrs_models.towers.sequence.sasrec import SASRec

__all__ = ["AutoCorrelationTower", "GRU4Rec", "RecencyPooling", "SASRec"]
