"""Pure tensor functions."""

from tfrs_models import _autograph  # noqa: F401  isort: skip  before anything is traced

from tfrs_models.ops.softmax.blocked_softmax import blocked_softmax_cross_entropy

__all__ = ["blocked_softmax_cross_entropy"]
