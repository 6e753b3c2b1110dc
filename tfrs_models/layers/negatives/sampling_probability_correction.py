"""The logQ correction of sampled candidates."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.ops.features.probabilities import ProbabilityFloor


@register
class SamplingProbabilityCorrection(tf.keras.layers.Layer):
    """Subtracts the log of each candidate's sampling probability from its logits.

    A popular item is sampled as a negative more often than a rare one; without the
    correction the model learns to rank against popularity.

    Example:
      >>> layer = tm.layers.SamplingProbabilityCorrection()
      >>> layer(tf.constant([[1.0, 1.0]]), tf.constant([0.5, 0.01])).numpy().round(2)
      array([[1.69, 5.61]], dtype=float32)

    Reference:
      Bengio and Senecal, Adaptive importance sampling, IEEE TNN 2008; Yi et al.,
      Sampling-bias-corrected neural modeling, RecSys 2019.
    """

    def __init__(self, *, probability_floor: float | None = None, **kwargs) -> None:
        """Initializes the layer.

        Args:
          probability_floor: value that smaller probabilities are raised to; those
            above 1 are lowered to 1. `1e-6` gives TensorFlow Recommenders' numbers.
            None uses positive ones unchanged, and 1e-6 for 0 with a warning; a value
            outside [0, 1] is then an error.
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        self._floor = ProbabilityFloor(probability_floor)
        self._autocast = False
        self.probability_floor = probability_floor

    def call(
        self,
        logits: tf.Tensor,
        candidate_sampling_probability: tf.Tensor,
        candidate_ids: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Corrects the logits.

        Args:
          logits: `[batch, num_candidates]` logits.
          candidate_sampling_probability: `[num_candidates]` probability that one draw
            of a candidate is this item.
          candidate_ids: `[num_candidates]` ids, so that the error can name the item.

        Returns:
          `[batch, num_candidates]` corrected logits.

        Raises:
          InvalidArgumentError: a probability is NaN, below 0 or above 1, and there is
            no floor.
        """
        logits = tf.convert_to_tensor(logits)
        probability = tf.cast(candidate_sampling_probability, tf.float32)
        if not probability.shape.is_compatible_with(logits.shape[-1:]):
            raise ValueError(
                "`candidate_sampling_probability` must have one value for each of the "
                f"{logits.shape[-1]} candidates. Got shape {probability.shape}."
            )
        probability = self._floor(probability, candidate_ids)
        return logits - tf.cast(tf.math.log(probability), logits.dtype)

    def get_config(self) -> dict:
        return super().get_config() | {"probability_floor": self.probability_floor}
