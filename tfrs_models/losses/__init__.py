"""What a model is trained to lower."""

from tfrs_models.losses.sampled_softmax import SampledSoftmax, sampled_softmax

__all__ = ["SampledSoftmax", "sampled_softmax"]
