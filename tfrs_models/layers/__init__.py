"""Keras layers."""

from tfrs_models.layers import (
    attention,
    contrast,
    embedding,
    experts,
    index,
    interaction,
    negatives,
)
from tfrs_models.layers.attention import (
    AttentionPredictor,
    AutoCorrelation,
    AutoCorrelationBlock,
    AutoCorrelationLayer,
    BilinearTargetAttention,
    CrossFusion,
    CrossModalStack,
    MultiHeadAttention,
    PlaceCloseness,
    SeriesDecomposition,
    ServiceTransitions,
    TransformerBlock,
    Transitions,
    TypedTransition,
)
from tfrs_models.layers.contrast import PairInfoNCE, TransitionContrast
from tfrs_models.layers.embedding import (
    DeepHashCode,
    EntityEncoder,
    HashedEmbedding,
    QueryEncoder,
)
from tfrs_models.layers.experts import (
    Expert,
    MultiGateExperts,
    ProgressiveLayered,
)
from tfrs_models.layers.extract_features import (
    calculate_ranks,
    extract_batch_features,
    extract_features,
    fill_ranks,
    make_features_extractor,
)
from tfrs_models.layers.features_extractor import FeaturesExtractor
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
from tfrs_models.layers.trace_embedding import TraceEmbedding

__all__ = [
    "AttentionPredictor",
    "AutoCorrelation",
    "AutoCorrelationBlock",
    "AutoCorrelationLayer",
    "BilinearTargetAttention",
    "BruteForce",
    "CandidateQueue",
    "CrossFusion",
    "CrossModalStack",
    "DeepHashCode",
    "EntityEncoder",
    "Expert",
    "FactorizationMachine",
    "FeaturesExtractor",
    "FieldAwareFactorizationMachine",
    "FieldEmbedding",
    "FrequencyEstimator",
    "HardNegativeMining",
    "HashedEmbedding",
    "IVF",
    "MLP",
    "MinedNegatives",
    "MultiGateExperts",
    "MultiHeadAttention",
    "PairInfoNCE",
    "PlaceCloseness",
    "ProgressiveLayered",
    "QueryEncoder",
    "RemoveAccidentalHits",
    "SamplingProbabilityCorrection",
    "ScaNN",
    "SeriesDecomposition",
    "ServiceTransitions",
    "Streaming",
    "TraceEmbedding",
    "TransformerBlock",
    "TransitionContrast",
    "Transitions",
    "TypedTransition",
    "attention",
    "calculate_ranks",
    "contrast",
    "embedding",
    "experts",
    "extract_batch_features",
    "extract_features",
    "fill_ranks",
    "index",
    "interaction",
    "make_features_extractor",
    "negatives",
]
