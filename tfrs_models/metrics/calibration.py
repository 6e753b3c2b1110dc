"""The calibration error of predicted probabilities."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.ops.weights import weights_of_rows


@register
class ExpectedCalibrationError(tf.keras.metrics.Metric):
    """The mean gap between predicted and observed rates, over bins of predictions.

    It is 0 if, for example, three in ten rows that are predicted at 0.3 are positive.
    Bins have equal width; each counts by the weight of its rows.

    Example:
      >>> metric = tm.metrics.ExpectedCalibrationError()
      >>> _ = metric.update_state([1, 0, 0, 0], [0.5, 0.5, 0.5, 0.5])
      >>> float(metric.result())  # predicted 0.5, observed 0.25
      0.25

    Reference:
      Guo et al., On calibration of modern neural networks, ICML 2017.
    """

    def __init__(
        self, num_bins: int = 20, name: str = "calibration_error", **kwargs
    ) -> None:
        """Initializes the metric.

        Args:
          num_bins: number of bins of equal width in [0, 1].
          name: name of the metric in logs.
          **kwargs: arguments of `tf.keras.metrics.Metric`.
        """
        super().__init__(name=name, **kwargs)
        if num_bins < 1:
            raise ValueError(f"`num_bins` must be at least 1. Got {num_bins}.")
        self.num_bins = num_bins
        self._totals = self.add_weight("totals", (3, num_bins), initializer="zeros")

    def update_state(
        self,
        labels: tf.Tensor,
        probabilities: tf.Tensor,
        sample_weight: tf.Tensor | None = None,
    ) -> tf.Operation:
        """Adds rows.

        Args:
          labels: `[batch]` labels in {0, 1}.
          probabilities: `[batch]` predictions in [0, 1].
          sample_weight: `[batch]` weights; rows of weight 0 do not count.
        """
        probabilities = tf.cast(probabilities, tf.float32)
        labels = tf.cast(labels, tf.float32)
        weight = tf.ones_like(labels)
        if sample_weight is not None:
            weight = weights_of_rows(sample_weight, tf.shape(labels)[0])
        rows = tf.stack([weight, weight * probabilities, weight * labels], axis=1)
        bins = tf.cast(probabilities * self.num_bins, tf.int32)
        bins = tf.clip_by_value(bins, 0, self.num_bins - 1)
        totals = tf.math.unsorted_segment_sum(rows, bins, self.num_bins)
        return self._totals.assign_add(tf.transpose(totals))

    def curve(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns the reliability diagram.

        Returns:
          The weight, the mean prediction and the observed rate of each bin,
          `[num_bins]` each; zeros for a bin without rows.
        """
        weight, predicted, observed = tf.unstack(tf.convert_to_tensor(self._totals))
        return (
            weight,
            tf.math.divide_no_nan(predicted, weight),
            tf.math.divide_no_nan(observed, weight),
        )

    def result(self) -> tf.Tensor:
        """Returns a scalar in [0, 1]; 0 before the first row."""
        weight, predicted, observed = tf.unstack(tf.convert_to_tensor(self._totals))
        gap = tf.reduce_sum(tf.abs(predicted - observed))
        return tf.math.divide_no_nan(gap, tf.reduce_sum(weight))

    def reset_state(self) -> None:
        self._totals.assign(tf.zeros_like(self._totals))

    def get_config(self) -> dict:
        return super().get_config() | {"num_bins": self.num_bins}
