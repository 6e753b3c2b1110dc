"""Contrasts with a similarity of their own."""

from tfrs_models.layers.contrast.pair_info_nce import PairInfoNCE
from tfrs_models.layers.contrast.transition_contrast import TransitionContrast

__all__ = ["PairInfoNCE", "TransitionContrast"]
