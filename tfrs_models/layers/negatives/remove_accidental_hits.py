"""Masks negatives that are the positive itself."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.ops.masks import positive_columns, same_item_mask


@register
class RemoveAccidentalHits(tf.keras.layers.Layer):
    """Sets the logit of every accidental hit to the lowest finite value.

    Another candidate with the positive's id is the same item: scoring it as a
    negative would punish a correct answer.

    Example:
      >>> labels, logits = np.eye(2, 3), np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
      >>> ids = tf.constant(["a", "b", "a"])  # column 2 is the positive of row 0
      >>> masked = tm.layers.RemoveAccidentalHits()(labels, logits, ids)
      >>> tf.nn.softmax(masked).numpy().round(2)
      array([[0.27, 0.73, 0.  ],
             [0.09, 0.24, 0.67]])
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self._autocast = False

    def call(
        self, labels: tf.Tensor, logits: tf.Tensor, candidate_ids: tf.Tensor
    ) -> tf.Tensor:
        """Masks the hits.

        Args:
          labels: `[batch, num_candidates]` one-hot labels.
          logits: `[batch, num_candidates]` logits.
          candidate_ids: `[num_candidates]` ids of any dtype.

        Returns:
          `[batch, num_candidates]` logits.
        """
        logits = tf.convert_to_tensor(logits)
        candidate_ids = tf.reshape(candidate_ids, [-1])
        positive_ids = tf.gather(candidate_ids, positive_columns(labels))
        same_item = same_item_mask(positive_ids, candidate_ids)
        hit = same_item & ~tf.cast(labels, tf.bool)
        return tf.where(hit, logits.dtype.min, logits)
