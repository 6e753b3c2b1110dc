"""Layers that let positions look at each other."""

from tfrs_models.layers.attention.bilinear_target_attention import (
    BilinearTargetAttention,
)
from tfrs_models.layers.attention.cross_fusion import CrossFusion
from tfrs_models.layers.attention.multi_head_attention import MultiHeadAttention
from tfrs_models.layers.attention.service_transitions import (
    ServiceTransitions,
    Transitions,
)
from tfrs_models.layers.attention.transformer import TransformerBlock
from tfrs_models.layers.attention.typed_transition import TypedTransition

__all__ = [
    "BilinearTargetAttention",
    "CrossFusion",
    "MultiHeadAttention",
    "ServiceTransitions",
    "TransformerBlock",
    "Transitions",
    "TypedTransition",
]
