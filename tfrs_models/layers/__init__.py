"""Keras layers."""

from tfrs_models import _keras  # noqa: F401  isort: skip  `tf.keras` must be Keras 2

from tfrs_models._advice import advise as _advise
from tfrs_models.layers.attention import (
    AutoCorrelation,
    AutoCorrelationBlock,
    AutoCorrelationLayer,
    MultiHeadAttention,
    SeriesDecomposition,
    TargetAttention,
    TransformerBlock,
)
from tfrs_models.layers.clickstream import FeaturesExtractor, make_features_extractor
from tfrs_models.layers.dropout import Dropout
from tfrs_models.layers.embedding import HashedEmbedding
from tfrs_models.layers.experts import MultiGateExperts, ProgressiveLayered
from tfrs_models.layers.index import IVF, BruteForce, ScaNN, ScoreIndex, Streaming
from tfrs_models.layers.interaction import (
    FactorizationMachine,
    FieldAwareFactorizationMachine,
)
from tfrs_models.layers.mlp import MLP
from tfrs_models.layers.negatives import (
    CandidateQueue,
    FrequencyEstimator,
    HardNegativeMining,
    MinedNegatives,
    RemoveAccidentalHits,
    SamplingProbabilityCorrection,
)
from tfrs_models.layers.standardize import Standardize

__all__ = [
    "AutoCorrelation",
    "AutoCorrelationBlock",
    "AutoCorrelationLayer",
    "BruteForce",
    "CandidateQueue",
    "Dropout",
    "FactorizationMachine",
    "FeaturesExtractor",
    "FieldAwareFactorizationMachine",
    "FrequencyEstimator",
    "HardNegativeMining",
    "HashedEmbedding",
    "IVF",
    "MLP",
    "MinedNegatives",
    "MultiGateExperts",
    "MultiHeadAttention",
    "ProgressiveLayered",
    "RemoveAccidentalHits",
    "SamplingProbabilityCorrection",
    "ScaNN",
    "ScoreIndex",
    "SeriesDecomposition",
    "Standardize",
    "Streaming",
    "TargetAttention",
    "TransformerBlock",
    "make_features_extractor",
]

__getattr__ = _advise(__name__)
