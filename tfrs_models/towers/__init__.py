"""Layers from features to one embedding for each row."""

from tfrs_models.towers import sequence
from tfrs_models.towers.feature import FeatureTower
from tfrs_models.towers.feature_lookup import FeatureLookup
from tfrs_models.towers.sequence import GRU4Rec, RecencyPooling, SASRec
from tfrs_models.towers.unit_norm import UnitNorm
from tfrs_models.towers.user_id import UserId

__all__ = [
    "FeatureLookup",
    "FeatureTower",
    "GRU4Rec",
    "RecencyPooling",
    "SASRec",
    "UnitNorm",
    "UserId",
    "sequence",
]
