"""What Keras losses of lists have in common."""

from collections.abc import Mapping

import tensorflow as tf

from tfrs_models.ops.lists import masked_labels
from tfrs_models.ops.weights import checked_weights


class ListLoss(tf.keras.losses.Loss):
    """A Keras loss of labels and scores of lists. Implement `call`."""

    def __call__(
        self,
        y_true: tf.Tensor | Mapping[str, tf.Tensor],
        y_pred: tf.Tensor,
        sample_weight: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Reduces the losses of a batch.

        Args:
          y_true: `[batch, list_size]` relevance, -1 for padding; or a dict of `labels`
            and `mask`, False for padding.
          y_pred: `[batch, list_size]` scores.
          sample_weight: `[batch]` weights of the lists.

        Raises:
          InvalidArgumentError: a weight is negative or not finite.
        """
        weight = checked_weights(sample_weight)
        return super().__call__(masked_labels(y_true), y_pred, weight)
