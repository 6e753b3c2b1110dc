"""The likelihood of the order of the labels as a loss."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.losses.list_loss import ListLoss
from tfrs_models.ops.lists.list_shapes import read_lists


def list_mle_loss(
    labels: tf.Tensor, scores: tf.Tensor, *, mask: tf.Tensor | None = None
) -> tf.Tensor:
    """Computes minus the log likelihood of drawing the items in the order of labels.

    `sum_i (logsumexp({s_i} + {s_j: y_j < y_i}) - s_i)`: every item is drawn before all
    worse ones. Items with equal labels have no order and are not compared; without
    equal labels this is ListMLE.

    Args:
      labels: `[batch, list_size]` relevance, -1 for padding.
      scores: `[batch, list_size]` predicted scores.
      mask: `[batch, list_size]` bool, False for padding.

    Returns:
      `[batch]` loss; 0 for a list whose labels are all the same.

    Raises:
      ValueError: shapes that differ.
      tf.errors.InvalidArgumentError: a label below 0 that is not -1.

    Example:
      >>> labels = [[2.0, 1.0, 0.0], [1.0, 1.0, -1.0]]  # -1 is padding
      >>> scores = [[0.0, 0.0, 0.0], [5.0, 1.0, 9.0]]
      >>> tm.losses.list_mle_loss(labels, scores).numpy().round(3)  # log(3 * 2), 0
      array([1.792, 0.   ], dtype=float32)

    Reference:
      Xia et al., Listwise approach to learning to rank, ICML 2008.
    """
    labels, scores, valid = read_lists(labels, scores, mask)
    worse = (labels[:, :, None] > labels[:, None, :]) & valid[:, None, :]  # [batch,i,j]
    # Without a worse item the sum is empty, and the loss 0.
    log_sum = tf.reduce_logsumexp(
        tf.where(worse, scores[:, None, :], scores.dtype.min), axis=2
    )
    losses = tf.nn.softplus(log_sum - scores)
    return tf.reduce_sum(tf.where(valid, losses, 0), axis=1)


@register
class ListMLELoss(ListLoss):
    """The Keras class of `list_mle_loss`, reduced over the batch.

    Example:
      >>> loss = tm.losses.ListMLELoss()
      >>> round(float(loss([[1.0, 0.0]], [[0.0, 0.0]])), 3)  # log(2)
      0.693
    """

    def __init__(self, *, name: str = "list_mle_loss", **kwargs) -> None:
        """Initializes the loss.

        Args:
          name: name of the loss in logs.
          **kwargs: arguments of `tf.keras.losses.Loss`.
        """
        super().__init__(name=name, **kwargs)

    def call(self, labels: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
        """Computes the loss of each list, `[batch]`."""
        return list_mle_loss(labels, scores)
