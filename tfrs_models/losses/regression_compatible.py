"""A listwise loss whose scores are probabilities at the same time."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.losses.list_loss import ListLoss
from tfrs_models.ops.lists.list_shapes import read_lists


def regression_compatible_loss(
    labels: tf.Tensor, scores: tf.Tensor, *, mask: tf.Tensor | None = None
) -> tf.Tensor:
    """Computes the cross-entropy of the shares of labels and of sigmoids in a list.

    `-1/C sum_i y_i log(sigmoid(s_i) / sum_j sigmoid(s_j))` with `C = sum_i y_i`. It is
    least where the sigmoids are in proportion to the expected labels, which is where
    the binary cross-entropy is least too: beside it, ranking does not cost calibration,
    as a softmax of the scores would.

    Args:
      labels: `[batch, list_size]` in [0, 1], -1 for padding.
      scores: `[batch, list_size]` logits.
      mask: `[batch, list_size]` bool, False for padding.

    Returns:
      `[batch]` loss; 0 for a list without a positive label.

    Raises:
      ValueError: shapes that differ.
      tf.errors.InvalidArgumentError: a label below 0 that is not -1.

    Example:
      >>> labels = [[1.0, 0.0, -1.0]]  # -1 is padding
      >>> logits = [[0.0, 0.0, 3.0]]
      >>> tm.losses.regression_compatible_loss(labels, logits).numpy().round(3)
      array([0.693], dtype=float32)

    Reference:
      Bai et al., Regression compatible listwise objectives for calibrated ranking with
      binary relevance, CIKM 2023.
    """
    labels, scores, valid = read_lists(labels, scores, mask)
    log_sigmoids = tf.where(valid, -tf.nn.softplus(-scores), scores.dtype.min)
    shares = tf.where(valid, tf.nn.log_softmax(log_sigmoids, axis=1), 0)
    total = -tf.reduce_sum(labels * shares, axis=1)
    return tf.math.divide_no_nan(total, tf.reduce_sum(labels, axis=1))


@register
class RegressionCompatibleLoss(ListLoss):
    """The Keras class of `regression_compatible_loss`, reduced over the batch.

    Example:
      >>> loss = tm.losses.RegressionCompatibleLoss()
      >>> round(float(loss([[1.0, 0.0]], [[0.0, 0.0]])), 3)  # log(2)
      0.693
    """

    def __init__(self, *, name: str = "regression_compatible_loss", **kwargs) -> None:
        """Initializes the loss.

        Args:
          name: name of the loss in logs.
          **kwargs: arguments of `tf.keras.losses.Loss`.
        """
        super().__init__(name=name, **kwargs)

    def call(self, labels: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
        """Computes the loss of each list, `[batch]`."""
        return regression_compatible_loss(labels, scores)
