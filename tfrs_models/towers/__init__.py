"""Layers from features to one embedding for each row."""

from tfrs_models import _keras  # noqa: F401  isort: skip  `tf.keras` must be Keras 2

from tfrs_models.towers.cohort import Cohort
from tfrs_models.towers.deep_hash import DeepHash
from tfrs_models.towers.feature import FeatureTower
from tfrs_models.towers.feature_lookup import FeatureLookup
from tfrs_models.towers.freezing import freeze_first_layers
from tfrs_models.towers.mixture import MixtureOfRepresentations
from tfrs_models.towers.position_bias import PositionBias
from tfrs_models.towers.score_tower import ScoreTower
from tfrs_models.towers.sequence.auto_correlation_tower import AutoCorrelationTower
from tfrs_models.towers.sequence.gru4rec import GRU4Rec
from tfrs_models.towers.sequence.recency_pooling import RecencyPooling
from tfrs_models.towers.sequence.sasrec import SASRec
from tfrs_models.towers.trends import TrendWeights, WithTrends
from tfrs_models.towers.user_id import UserId

__all__ = [
    "AutoCorrelationTower",
    "Cohort",
    "DeepHash",
    "FeatureLookup",
    "FeatureTower",
    "GRU4Rec",
    "MixtureOfRepresentations",
    "PositionBias",
    "RecencyPooling",
    "SASRec",
    "ScoreTower",
    "TrendWeights",
    "UserId",
    "WithTrends",
    "freeze_first_layers",
]
