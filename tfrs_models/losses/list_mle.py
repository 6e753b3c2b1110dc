"""The likelihood of the order of the labels."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.losses.list_loss import ListLoss
from tfrs_models.ops.lists.list_shapes import read_lists


def list_mle_loss(
    labels: tf.Tensor, scores: tf.Tensor, *, mask: tf.Tensor | None = None
) -> tf.Tensor:
    """Minus the log likelihood of drawing the items in the order of their labels.

    `sum_i (logsumexp({s_i} + {s_j: y_j < y_i}) - s_i)`: every item is drawn before all
    that are worse. Items with equal labels have no order and are not compared; without
    them this is ListMLE.

    Args:
      labels: `[batch, list_size]` relevance, -1 for padding.
      scores: `[batch, list_size]`.
      mask: `[batch, list_size]` bool, False where there is no item.

    Returns:
      `[batch]` loss; 0 for a list whose labels are all the same.

    Raises:
      ValueError: shapes that differ.
      tf.errors.InvalidArgumentError: a label below 0 that is not -1.

    Reference:
      Xia et al., Listwise approach to learning to rank, ICML 2008.
    """
    labels, scores, valid = read_lists(labels, scores, mask)
    worse = (labels[:, :, None] > labels[:, None, :]) & valid[:, None, :]  # [batch,i,j]
    # Where nothing is worse, the mass is that of nothing and the loss 0.
    mass = tf.reduce_logsumexp(
        tf.where(worse, scores[:, None, :], scores.dtype.min), axis=2
    )
    losses = tf.nn.softplus(mass - scores)
    return tf.reduce_sum(tf.where(valid, losses, 0), axis=1)


@register
class ListMLELoss(ListLoss):
    """`list_mle_loss`, reduced over the batch."""

    def __init__(self, *, name: str = "list_mle_loss", **kwargs) -> None:
        """Initializes the loss.

        Args:
          name: Of the loss.
          **kwargs: Of `tf.keras.losses.Loss`.
        """
        super().__init__(name=name, **kwargs)

    def call(self, labels: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
        """`[batch]` losses."""
        return list_mle_loss(labels, scores)
