"""Layers from features to one embedding for each row."""

from tfrs_models.towers import sequence
from tfrs_models.towers.cohort import Cohort
from tfrs_models.towers.deep_hash import DeepHash
from tfrs_models.towers.feature import FeatureTower
from tfrs_models.towers.feature_lookup import FeatureLookup
from tfrs_models.towers.freezing import freeze_first_layers
from tfrs_models.towers.hashed_text import HashedText
from tfrs_models.towers.mixture import MixtureOfRepresentations
from tfrs_models.towers.position_bias import PositionBias
from tfrs_models.towers.sequence import (
    AutoCorrelationTower,
    GRU4Rec,
    RecencyPooling,
    SASRec,
)
from tfrs_models.towers.unit_norm import UnitNorm
from tfrs_models.towers.user_id import UserId

__all__ = [
    "AutoCorrelationTower",
    "Cohort",
    "DeepHash",
    "FeatureLookup",
    "FeatureTower",
    "GRU4Rec",
    "HashedText",
    "MixtureOfRepresentations",
    "PositionBias",
    "RecencyPooling",
    "SASRec",
    "UnitNorm",
    "UserId",
    "freeze_first_layers",
    "sequence",
]
