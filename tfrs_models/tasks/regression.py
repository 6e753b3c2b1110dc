"""The task of one number of a row, such as a rating."""

import math

import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfrs_models._keras import register
from tfrs_models.ops.features.checks import require
from tfrs_models.ops.weights import weights_of_rows


@register
class Regression(tf.keras.layers.Layer, tfrs.tasks.Task):
    """Sums the squared errors of all observed labels, and reports RMSE and MAE.

    The prediction is the model's score plus the mean label, which no weight has to
    learn first. A label that was not observed (NaN) costs nothing and counts in no
    metric.

    Example:
      >>> task = tm.tasks.Regression("rating", mean=3.5)
      >>> labels, scores = [[4.5], [3.0], [np.nan]], [[0.0], [0.0], [0.0]]
      >>> float(task(labels, scores))  # 1 + 0.25
      1.25
    """

    def __init__(self, label: str, *, mean: float = 0.0, **kwargs) -> None:
        """Initializes the task.

        Args:
          label: name of the label, a prefix of the metrics.
          mean: mean label of the training rows.
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        self._autocast = False  # the loss is float32
        if not math.isfinite(mean):
            raise ValueError(f"`mean` must be finite. Got {mean}.")
        self.label = label
        self.mean = float(mean)
        self._rmse, self._mae = (
            tf.keras.metrics.RootMeanSquaredError(f"{label}/rmse", dtype="float32"),
            tf.keras.metrics.MeanAbsoluteError(f"{label}/mae", dtype="float32"),
        )

    @property
    def task_names(self) -> tuple[str, ...]:
        """The label's name, as the only task."""
        return (self.label,)

    def predictions(self, scores: tf.Tensor) -> tf.Tensor:
        """Computes predictions of the label from scores: float32 of their shape."""
        return tf.cast(scores, tf.float32) + self.mean

    def call(
        self,
        labels: tf.Tensor,
        scores: tf.Tensor,
        *,
        sample_weight: tf.Tensor | None = None,
        compute_metrics: bool = True,
    ) -> tf.Tensor:
        """Computes the loss of a batch and updates the metrics.

        Args:
          labels: `[batch, 1]`, NaN where not observed.
          scores: `[batch, 1]` scores of the model.
          sample_weight: `[batch]` weights of the rows in loss and metrics.
          compute_metrics: True to update the metrics.

        Returns:
          Scalar float32: the sum over rows.

        Raises:
          ValueError: shapes that do not fit.
          InvalidArgumentError: a label is infinite, a weight negative.
        """
        labels, scores = (tf.cast(values, tf.float32) for values in (labels, scores))
        for name, values in (("labels", labels), ("scores", scores)):
            if values.shape.rank != 2 or values.shape[1] != 1:
                raise ValueError(
                    f"`{name}` must be [batch, 1]. Got shape {values.shape}."
                )
        tf.debugging.assert_equal(
            tf.shape(labels),
            tf.shape(scores),
            "`labels` and `scores` must have the same rows.",
        )
        labels = require(
            labels, ~tf.math.is_inf(labels), f"`labels` of `{self.label}` are infinite"
        )
        observed = ~tf.math.is_nan(labels)
        predictions = self.predictions(scores)
        labels = tf.where(observed, labels, 0.0)
        weight = tf.cast(observed, tf.float32)
        if sample_weight is not None:
            weights = weights_of_rows(sample_weight, tf.shape(labels)[0])
            weight *= weights[:, None]
        if compute_metrics:
            for metric in (self._rmse, self._mae):
                metric.update_state(labels, predictions, weight[:, 0])
        return tf.reduce_sum(weight * tf.math.squared_difference(labels, predictions))

    def get_config(self) -> dict:
        return super().get_config() | {"label": self.label, "mean": self.mean}
