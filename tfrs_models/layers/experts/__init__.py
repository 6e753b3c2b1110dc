"""Trunks of multi-task models: experts and gates."""

from tfrs_models.layers.experts.gated import Expert
from tfrs_models.layers.experts.multi_gate import MultiGateExperts
from tfrs_models.layers.experts.progressive_layered import ProgressiveLayered

__all__ = ["Expert", "MultiGateExperts", "ProgressiveLayered"]
