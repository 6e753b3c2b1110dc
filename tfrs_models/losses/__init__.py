"""What a model is trained to lower."""

from tfrs_models.losses.regression_compatible import regression_compatible_loss
from tfrs_models.losses.sampled_softmax import SampledSoftmax, sampled_softmax

__all__ = ["SampledSoftmax", "regression_compatible_loss", "sampled_softmax"]
