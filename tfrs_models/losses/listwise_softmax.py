"""The cross-entropy of a list's labels and the softmax of its scores."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.losses.list_loss import ListLoss
from tfrs_models.ops.lists.list_shapes import read_lists


def listwise_softmax_loss(
    labels: tf.Tensor, scores: tf.Tensor, *, mask: tf.Tensor | None = None
) -> tf.Tensor:
    """`-sum_i y_i / sum_j y_j log softmax(s)_i`.

    Args:
      labels: `[batch, list_size]` relevance, -1 for padding.
      scores: `[batch, list_size]`.
      mask: `[batch, list_size]` bool, False where there is no item.

    Returns:
      `[batch]` loss; 0 for a list without a relevant item.

    Raises:
      ValueError: shapes that differ.
      tf.errors.InvalidArgumentError: a label below 0 that is not -1.

    Reference:
      Cao et al., Learning to rank: from pairwise approach to listwise approach, ICML
      2007; Bruch et al., An analysis of the softmax cost function for learning to
      rank, ICTIR 2019.
    """
    labels, scores, valid = read_lists(labels, scores, mask)
    total = tf.reduce_sum(labels, axis=1, keepdims=True)
    share = tf.math.divide_no_nan(labels, total)
    log_softmax = tf.nn.log_softmax(tf.where(valid, scores, scores.dtype.min))
    return -tf.reduce_sum(share * tf.where(valid, log_softmax, 0), axis=1)


@register
class ListwiseSoftmaxLoss(ListLoss):
    """`listwise_softmax_loss`, reduced over the batch."""

    def __init__(self, *, name: str = "listwise_softmax_loss", **kwargs) -> None:
        """Initializes the loss.

        Args:
          name: Of the loss.
          **kwargs: Of `tf.keras.losses.Loss`.
        """
        super().__init__(name=name, **kwargs)

    def call(self, labels: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
        """`[batch]` losses."""
        return listwise_softmax_loss(labels, scores)
