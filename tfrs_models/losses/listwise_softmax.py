"""The softmax cross-entropy of a list."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.losses.list_loss import ListLoss
from tfrs_models.ops.lists.list_shapes import read_lists


def listwise_softmax_loss(
    labels: tf.Tensor, scores: tf.Tensor, *, mask: tf.Tensor | None = None
) -> tf.Tensor:
    """Computes `-sum_i y_i / sum_j y_j log softmax(s)_i`.

    Args:
      labels: `[batch, list_size]` relevance, -1 for padding.
      scores: `[batch, list_size]` predicted scores.
      mask: `[batch, list_size]` bool, False for padding.

    Returns:
      `[batch]` loss; 0 for a list without a relevant item.

    Raises:
      ValueError: shapes that differ.
      tf.errors.InvalidArgumentError: a label below 0 that is not -1.

    Example:
      >>> labels = [[1.0, 0.0, 0.0], [0.0, 1.0, -1.0]]  # -1 is padding
      >>> tm.losses.listwise_softmax_loss(labels, np.zeros([2, 3])).numpy().round(3)
      array([1.099, 0.693])

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
    """The Keras class of `listwise_softmax_loss`, reduced over the batch.

    Example:
      >>> loss = tm.losses.ListwiseSoftmaxLoss()
      >>> labels = {"labels": [[1.0, 0.0, 0.0]], "mask": [[True, True, False]]}
      >>> round(float(loss(labels, np.zeros([1, 3]))), 3)  # log(2)
      0.693
    """

    def __init__(self, *, name: str = "listwise_softmax_loss", **kwargs) -> None:
        """Initializes the loss.

        Args:
          name: name of the loss in logs.
          **kwargs: arguments of `tf.keras.losses.Loss`.
        """
        super().__init__(name=name, **kwargs)

    def call(self, labels: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
        """Computes the loss of each list, `[batch]`."""
        return listwise_softmax_loss(labels, scores)
