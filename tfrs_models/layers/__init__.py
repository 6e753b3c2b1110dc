"""Keras layers."""

from tfrs_models.layers import (
    attention,
    embedding,
    experts,
    index,
    interaction,
    negatives,
)
from tfrs_models.layers.attention import TransformerBlock
from tfrs_models.layers.embedding import DeepHashCode, HashedEmbedding
from tfrs_models.layers.experts import (
    Expert,
    MultiGateExperts,
    ProgressiveLayered,
)
from tfrs_models.layers.index import IVF, BruteForce, ScaNN, Streaming
from tfrs_models.layers.interaction import (
    FactorizationMachine,
    FieldAwareFactorizationMachine,
    FieldEmbedding,
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

__all__ = [
    "BruteForce",
    "CandidateQueue",
    "DeepHashCode",
    "Expert",
    "FactorizationMachine",
    "FieldAwareFactorizationMachine",
    "FieldEmbedding",
    "FrequencyEstimator",
    "HardNegativeMining",
    "HashedEmbedding",
    "IVF",
    "MLP",
    "MinedNegatives",
    "MultiGateExperts",
    "ProgressiveLayered",
    "RemoveAccidentalHits",
    "SamplingProbabilityCorrection",
    "ScaNN",
    "Streaming",
    "TransformerBlock",
    "attention",
    "embedding",
    "experts",
    "index",
    "interaction",
    "negatives",
]
