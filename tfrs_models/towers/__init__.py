"""Layers from features to one embedding for each row."""

from tfrs_models.towers.feature import FeatureTower
from tfrs_models.towers.unit_norm import UnitNorm
from tfrs_models.towers.user_id import UserId

__all__ = ["FeatureTower", "UnitNorm", "UserId"]
