"""Pure tensor functions."""

from tfrs_models.ops.softmax.blocked_softmax import blocked_softmax_cross_entropy

__all__ = ["blocked_softmax_cross_entropy"]
