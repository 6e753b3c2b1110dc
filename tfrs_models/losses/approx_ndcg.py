"""A smooth approximation of NDCG as a loss."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.losses.list_loss import ListLoss
from tfrs_models.ops.lists.discounts import discounts, gains, largest_dcg
from tfrs_models.ops.lists.list_shapes import read_lists
from tfrs_models.ops.numbers import real_number


def approx_ndcg_loss(
    labels: tf.Tensor,
    scores: tf.Tensor,
    *,
    temperature: float = 0.1,
    mask: tf.Tensor | None = None,
) -> tf.Tensor:
    """Computes `1 - NDCG` of smooth ranks.

    The rank of item `i` is `1 + sum_j sigmoid((s_j - s_i) / temperature)`.

    Args:
      labels: `[batch, list_size]` relevance, -1 for padding; gains are `2^y - 1`.
      scores: `[batch, list_size]` predicted scores.
      temperature: width of the sigmoids; the smaller, the closer to NDCG and the
        steeper.
      mask: `[batch, list_size]` bool, False for padding.

    Returns:
      `[batch]` loss in [0, 1]; 0 for a list whose labels are all the same, which every
      order ranks perfectly.

    Raises:
      ValueError: a temperature that is not above 0, or shapes that differ.
      tf.errors.InvalidArgumentError: a label below 0 that is not -1.

    Example:
      >>> labels = np.array([[2.0, 0, 1], [0, 1, -1]])  # -1 is padding
      >>> scores = np.array([[0.9, 0.1, 0.5], [0.8, 0.2, 9]])
      >>> tm.losses.approx_ndcg_loss(labels, scores).numpy().round(2)
      array([0.01, 0.37])

    Reference:
      Qin et al., A general approximation framework for direct optimization of
      information retrieval measures, Information Retrieval 2010.
    """
    check_temperature(temperature)
    labels, scores, valid = read_lists(labels, scores, mask)
    beaten_by = smooth_beaten_by(scores / temperature, valid)
    ranks = 1 + tf.reduce_sum(beaten_by, axis=2)
    gain = gains(labels)
    dcg = tf.reduce_sum(gain * discounts(ranks), axis=1)
    loss = 1 - tf.math.divide_no_nan(dcg, largest_dcg(gain))
    differs = valid[:, :, None] & (labels[:, :, None] > labels[:, None, :])
    differs &= valid[:, None, :]
    return tf.where(tf.reduce_any(differs, axis=[1, 2]), loss, 0)


@register
class ApproxNDCGLoss(ListLoss):
    """The Keras class of `approx_ndcg_loss`, reduced over the batch.

    Example:
      >>> loss = tm.losses.ApproxNDCGLoss(temperature=0.05)
      >>> good, bad = [[0.9, 0.1]], [[0.1, 0.9]]
      >>> bool(loss([[1.0, 0.0]], good) < loss([[1.0, 0.0]], bad))
      True
    """

    def __init__(
        self, *, temperature: float = 0.1, name: str = "approx_ndcg_loss", **kwargs
    ) -> None:
        """Initializes the loss.

        Args:
          temperature: width of the sigmoids; the smaller, the closer to NDCG.
          name: name of the loss in logs.
          **kwargs: arguments of `tf.keras.losses.Loss`.
        """
        super().__init__(name=name, **kwargs)
        self.temperature = check_temperature(temperature)

    def call(self, labels: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
        """Computes the loss of each list, `[batch]`."""
        return approx_ndcg_loss(labels, scores, temperature=self.temperature)

    def get_config(self) -> dict:
        return super().get_config() | {"temperature": self.temperature}


def smooth_beaten_by(logits: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Computes how far each other item of a list is above an item.

    Args:
      logits: `[batch, list_size]` scores, divided by the temperature.
      mask: `[batch, list_size]` bool, False for padding.

    Returns:
      `[batch, i, j]` `sigmoid(l_j - l_i)`; 0 for an item and itself, and where `j` is
      padding.
    """
    above = tf.sigmoid(logits[:, None, :] - logits[:, :, None])
    others = ~tf.eye(tf.shape(logits)[1], dtype=tf.bool)
    return tf.where(others & mask[:, None, :], above, 0)


def check_temperature(temperature: float) -> float:
    """Returns the temperature, or raises a `ValueError`."""
    return real_number("temperature", temperature, above=0)
