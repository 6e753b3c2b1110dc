"""Layers that let positions look at each other."""

from tfrs_models.layers.attention.attention_predictor import AttentionPredictor
from tfrs_models.layers.attention.auto_correlation import AutoCorrelation, Lags
from tfrs_models.layers.attention.auto_correlation_block import AutoCorrelationBlock
from tfrs_models.layers.attention.auto_correlation_layer import AutoCorrelationLayer
from tfrs_models.layers.attention.bilinear_target_attention import (
    BilinearTargetAttention,
)
from tfrs_models.layers.attention.cross_fusion import CrossFusion
from tfrs_models.layers.attention.cross_modal_stack import CrossModalStack
from tfrs_models.layers.attention.multi_head_attention import MultiHeadAttention
from tfrs_models.layers.attention.place_closeness import PlaceCloseness
from tfrs_models.layers.attention.series_decomposition import SeriesDecomposition
from tfrs_models.layers.attention.service_transitions import (
    ServiceTransitions,
    Transitions,
)
from tfrs_models.layers.attention.transformer import TransformerBlock
from tfrs_models.layers.attention.typed_transition import TypedTransition

__all__ = [
    "AttentionPredictor",
    "AutoCorrelation",
    "AutoCorrelationBlock",
    "AutoCorrelationLayer",
    "BilinearTargetAttention",
    "CrossFusion",
    "CrossModalStack",
    "Lags",
    "MultiHeadAttention",
    "PlaceCloseness",
    "SeriesDecomposition",
    "ServiceTransitions",
    "TransformerBlock",
    "Transitions",
    "TypedTransition",
]
