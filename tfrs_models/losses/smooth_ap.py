"""A smooth approximation of average precision as a loss."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.losses.approx_ndcg import check_temperature, smooth_beaten_by
from tfrs_models.losses.list_loss import ListLoss
from tfrs_models.ops.lists.list_shapes import read_lists


def smooth_ap_loss(
    labels: tf.Tensor,
    scores: tf.Tensor,
    *,
    temperature: float = 0.01,
    mask: tf.Tensor | None = None,
) -> tf.Tensor:
    """Computes `1 - AP` of smooth ranks.

    `AP` is the mean, over the relevant items `i`, of their rank among the relevant
    items over their rank among all; both ranks are
    `1 + sum_j sigmoid((s_j - s_i) / temperature)`.

    Args:
      labels: `[batch, list_size]`, relevant above 0, -1 for padding.
      scores: `[batch, list_size]` predicted scores.
      temperature: width of the sigmoids; the smaller, the closer to average precision
        and the steeper. The default is for cosines.
      mask: `[batch, list_size]` bool, False for padding.

    Returns:
      `[batch]` loss in [0, 1]; 0 for a list without a relevant item, or whose items are
      all relevant.

    Raises:
      ValueError: a temperature that is not above 0, or shapes that differ.
      tf.errors.InvalidArgumentError: a label below 0 that is not -1.

    Example:
      >>> labels = [[1.0, 0.0], [1.0, 0.0]]
      >>> scores = [[0.9, 0.1], [0.1, 0.9]]
      >>> tm.losses.smooth_ap_loss(labels, scores).numpy()
      array([0. , 0.5], dtype=float32)

    Reference:
      Brown et al., Smooth-AP: smoothing the path towards large-scale image retrieval,
      ECCV 2020.
    """
    check_temperature(temperature)
    labels, scores, valid = read_lists(labels, scores, mask)
    relevant = tf.cast(labels > 0, scores.dtype)
    beaten_by = smooth_beaten_by(scores / temperature, valid)
    among_all = 1 + tf.reduce_sum(beaten_by, axis=2)
    among_relevant = 1 + tf.linalg.matvec(beaten_by, relevant)
    total = tf.reduce_sum(relevant * among_relevant / among_all, axis=1)
    number = tf.reduce_sum(relevant, axis=1)
    # Without an irrelevant item both ranks are the same, and the loss is 0.
    return tf.where(number > 0, 1 - tf.math.divide_no_nan(total, number), 0)


@register
class SmoothAPLoss(ListLoss):
    """The Keras class of `smooth_ap_loss`, reduced over the batch.

    Example:
      >>> loss = tm.losses.SmoothAPLoss(temperature=0.05)
      >>> float(loss([[1.0, 1.0, 0.0]], [[3.0, 2.0, 1.0]]))
      0.0
    """

    def __init__(
        self, *, temperature: float = 0.01, name: str = "smooth_ap_loss", **kwargs
    ) -> None:
        """Initializes the loss.

        Args:
          temperature: width of the sigmoids; the smaller, the closer to average
            precision.
          name: name of the loss in logs.
          **kwargs: arguments of `tf.keras.losses.Loss`.
        """
        super().__init__(name=name, **kwargs)
        self.temperature = check_temperature(temperature)

    def call(self, labels: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
        """Computes the loss of each list, `[batch]`."""
        return smooth_ap_loss(labels, scores, temperature=self.temperature)

    def get_config(self) -> dict:
        return super().get_config() | {"temperature": self.temperature}
