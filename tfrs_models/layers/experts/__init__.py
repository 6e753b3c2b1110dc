"""Mixtures of experts for several tasks."""

from tfrs_models.layers.experts.multi_gate import MultiGateExperts
from tfrs_models.layers.experts.progressive_layered import ProgressiveLayered

__all__ = ["MultiGateExperts", "ProgressiveLayered"]
