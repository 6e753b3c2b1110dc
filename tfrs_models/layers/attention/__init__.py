"""Layers that let positions look at each other."""

from tfrs_models.layers.attention.transformer import TransformerBlock

__all__ = ["TransformerBlock"]
