"""Keras layers."""

from tfrs_models.layers import attention, embedding, index, negatives
from tfrs_models.layers.attention import TransformerBlock
from tfrs_models.layers.embedding import DeepHashCode, HashedEmbedding
from tfrs_models.layers.index import BruteForce, ScaNN, Streaming
from tfrs_models.layers.mlp import MLP
from tfrs_models.layers.negatives import (
    CandidateQueue,
    FrequencyEstimator,
    HardNegativeMining,
    MinedNegatives,
    RemoveAccidentalHits,
    SamplingProbabilityCorrection,
)

__all__ = [
    "BruteForce",
    "CandidateQueue",
    "DeepHashCode",
    "FrequencyEstimator",
    "HardNegativeMining",
    "HashedEmbedding",
    "MLP",
    "MinedNegatives",
    "RemoveAccidentalHits",
    "SamplingProbabilityCorrection",
    "ScaNN",
    "Streaming",
    "TransformerBlock",
    "attention",
    "embedding",
    "index",
    "negatives",
]
