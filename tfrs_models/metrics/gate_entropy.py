"""Whether a gate chooses among its experts."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.ops.entropy import relative_entropy
from tfrs_models.ops.weights import checked_weights


@register
class GateEntropy(tf.keras.metrics.Mean):
    """Mean entropy of a gate's weights, over that of equal weights.

    1 where the gate weighs all experts alike, 0 where every row has its one expert.
    """

    def __init__(self, name: str = "gate_entropy", **kwargs) -> None:
        """Initializes the metric.

        Args:
          name: Of the metric.
          **kwargs: Of `tf.keras.metrics.Mean`.
        """
        super().__init__(name, **kwargs)

    def update_state(
        self, weights: tf.Tensor, sample_weight: tf.Tensor | None = None
    ) -> tf.Operation:
        """Adds rows.

        Args:
          weights: `[batch, num_experts]`, rows that sum to 1 (`gates` of an expert
            layer, one task's).
          sample_weight: `[batch]`.

        Raises:
          ValueError: a single expert, among which no gate chooses.
        """
        weights = tf.cast(weights, tf.float32)
        num_experts = weights.shape[-1]
        if num_experts < 2:
            raise ValueError(
                f"`weights` must be of two experts or more. Got {num_experts}."
            )
        return super().update_state(
            relative_entropy(weights), checked_weights(sample_weight)
        )
