"""Pure tensor functions."""

from tfrs_models.ops.blocked_softmax import blocked_softmax_cross_entropy

__all__ = ["blocked_softmax_cross_entropy"]
