"""Layers that let positions look at each other."""

from tfrs_models.layers.attention.auto_correlation import AutoCorrelation, Lags
from tfrs_models.layers.attention.auto_correlation_block import AutoCorrelationBlock
from tfrs_models.layers.attention.auto_correlation_layer import AutoCorrelationLayer
from tfrs_models.layers.attention.series_decomposition import SeriesDecomposition
from tfrs_models.layers.attention.transformer import TransformerBlock

__all__ = [
    "AutoCorrelation",
    "AutoCorrelationBlock",
    "AutoCorrelationLayer",
    "Lags",
    "SeriesDecomposition",
    "TransformerBlock",
]
