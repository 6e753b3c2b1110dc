"""The base class of Keras losses of ranked lists."""

from collections.abc import Mapping

import tensorflow as tf

from tfrs_models.ops.lists.list_shapes import split_labels
from tfrs_models.ops.weights import checked_weights


class ListLoss(tf.keras.losses.Loss):
    """A Keras loss of the labels and scores of lists. Implement `call`."""

    def __call__(
        self,
        y_true: tf.Tensor | Mapping[str, tf.Tensor],
        y_pred: tf.Tensor,
        sample_weight: tf.Tensor | None = None,
        *,
        mask: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Reduces the losses of a batch of lists to one number.

        Args:
          y_true: `[batch, list_size]` relevance, -1 for padding (of a distillation loss
            the teacher's scores); or a dict of `labels` and `mask`.
          y_pred: `[batch, list_size]` scores.
          sample_weight: `[batch]` weights of the lists, or one number for all of them.
          mask: `[batch, list_size]` bool, False for padding.

        Returns:
          Scalar; `[batch]` with `reduction="none"`.

        Raises:
          ValueError: weights of another shape, such as one for each item, or two masks.
          InvalidArgumentError: a weight is negative or not finite, or the number of
            weights is not the number of lists.
        """
        labels, mask = split_labels(y_true, mask)
        weight = _of_lists(checked_weights(sample_weight), y_pred)
        y_true = labels if mask is None else {"labels": labels, "mask": mask}
        return super().__call__(y_true, y_pred, weight)


def _of_lists(weight: tf.Tensor | None, scores: tf.Tensor) -> tf.Tensor | None:
    """Returns weights once there is one for each list: Keras would spread others."""
    if weight is None or weight.shape.rank == 0:
        return weight
    rule = (
        "`sample_weight` must be [batch], one weight for each list. (Items that do not "
        "count have the label -1.)"
    )
    if weight.shape.rank not in (1, 2) or weight.shape[1:] not in ([], [1]):
        raise ValueError(f"{rule} Got shape {weight.shape}.")
    if isinstance(scores, tf.RaggedTensor):
        batch = scores.nrows()
    else:
        batch = tf.shape(scores, tf.int64)[0]
    check = tf.debugging.assert_equal(tf.shape(weight, tf.int64)[0], batch, rule)
    with tf.control_dependencies([] if check is None else [check]):
        return tf.reshape(weight, [-1])
