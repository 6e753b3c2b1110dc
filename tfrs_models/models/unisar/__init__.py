"""UniSAR: joint search and recommendation, and the layers of its paper."""

from tfrs_models.layers.attention.transformer import (
    BilinearTargetAttention,
    CrossFusion,
)
from tfrs_models.models.unisar.objective import PairInfoNCE, TransitionContrast
from tfrs_models.models.unisar.transitions import TypedTransition
from tfrs_models.models.unisar.unisar import UniSAR

__all__ = [
    "BilinearTargetAttention",
    "CrossFusion",
    "PairInfoNCE",
    "TransitionContrast",
    "TypedTransition",
    "UniSAR",
]
