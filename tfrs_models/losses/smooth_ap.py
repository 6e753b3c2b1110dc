"""A smooth average precision."""

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
    """`1 - AP`, with sigmoids in place of the steps of both places.

    `AP` is the mean over the relevant items `i` of their place among the relevant over
    their place among all, each `1 + sum_j sigmoid((s_j - s_i) / temperature)`.

    Args:
      labels: `[batch, list_size]`, relevant above 0, -1 for padding.
      scores: `[batch, list_size]`.
      temperature: The smaller, the closer to average precision and the steeper. The
        default is for cosines.
      mask: `[batch, list_size]` bool, False where there is no item.

    Returns:
      `[batch]` loss in [0, 1]; 0 for a list without a relevant or without another item.

    Raises:
      ValueError: a temperature that is not above 0, or shapes that differ.
      tf.errors.InvalidArgumentError: a label below 0 that is not -1.

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
    # Without an irrelevant item both places are the same, and the loss is 0.
    return tf.where(number > 0, 1 - tf.math.divide_no_nan(total, number), 0)


@register
class SmoothAPLoss(ListLoss):
    """`smooth_ap_loss`, reduced over the batch."""

    def __init__(
        self, *, temperature: float = 0.01, name: str = "smooth_ap_loss", **kwargs
    ) -> None:
        """Initializes the loss.

        Args:
          temperature: As in `smooth_ap_loss`.
          name: Of the loss.
          **kwargs: Of `tf.keras.losses.Loss`.
        """
        super().__init__(name=name, **kwargs)
        self.temperature = check_temperature(temperature)

    def call(self, labels: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
        """`[batch]` losses."""
        return smooth_ap_loss(labels, scores, temperature=self.temperature)

    def get_config(self) -> dict:
        return super().get_config() | {"temperature": self.temperature}
