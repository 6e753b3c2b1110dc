"""Attention and auto-correlation over the steps of a sequence."""

from tfrs_models.layers.attention.auto_correlation import AutoCorrelation
from tfrs_models.layers.attention.auto_correlation_block import AutoCorrelationBlock
from tfrs_models.layers.attention.auto_correlation_layer import AutoCorrelationLayer
from tfrs_models.layers.attention.series_decomposition import SeriesDecomposition
from tfrs_models.layers.attention.target_attention import TargetAttention
from tfrs_models.layers.attention.transformer import (
    MultiHeadAttention,
    TransformerBlock,
)

__all__ = [
    "AutoCorrelation",
    "AutoCorrelationBlock",
    "AutoCorrelationLayer",
    "MultiHeadAttention",
    "SeriesDecomposition",
    "TargetAttention",
    "TransformerBlock",
]
