"""Keras layers."""

from tfrs_models.layers import attention, index, negatives
from tfrs_models.layers.attention import TransformerBlock
from tfrs_models.layers.index import BruteForce, ScaNN, Streaming
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
    "FrequencyEstimator",
    "HardNegativeMining",
    "MinedNegatives",
    "RemoveAccidentalHits",
    "SamplingProbabilityCorrection",
    "ScaNN",
    "Streaming",
    "TransformerBlock",
    "attention",
    "index",
    "negatives",
]
