"""Selects the negatives that score highest."""

import tensorflow as tf

from tfrs_models._keras import register


@register
class HardNegativeMining(tf.keras.layers.Layer):
    """Selects each row's positive and its negatives with the largest logits.

    Example:
      >>> logits = tf.constant([[3.0, 0.5, 2.0, 1.0]])
      >>> labels = tf.constant([[0.0, 1.0, 0.0, 0.0]])
      >>> logits, labels = tm.layers.HardNegativeMining(2)(logits, labels)
      >>> sorted(zip(logits.numpy()[0].tolist(), labels.numpy()[0].tolist()))
      [(0.5, 1.0), (2.0, 0.0), (3.0, 0.0)]
    """

    def __init__(self, num_hard_negatives: int, **kwargs) -> None:
        """Initializes the layer.

        Args:
          num_hard_negatives: number of negatives to select for each query; all of them
            if there are fewer.
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        if num_hard_negatives < 1:
            raise ValueError(
                f"`num_hard_negatives` must be at least 1. Got {num_hard_negatives}."
            )
        self._autocast = False
        self.num_hard_negatives = num_hard_negatives

    def call(self, logits: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Selects columns.

        Args:
          logits: `[batch, num_candidates]` logits. `dtype.min` marks negatives that
            other layers have masked; they are selected after all others.
          labels: `[batch, num_candidates]` one-hot labels.

        Returns:
          Logits and labels `[batch, num_selected]` of the selected columns, with
          `num_selected = min(num_hard_negatives + 1, num_candidates)`.
        """
        logits, labels = tf.convert_to_tensor(logits), tf.convert_to_tensor(labels)
        num_selected = tf.minimum(self.num_hard_negatives + 1, tf.shape(logits)[1])
        # Infinity, because no logit can be larger: the positive always stays.
        order = tf.where(tf.cast(labels, tf.bool), float("inf"), logits)
        _, columns = tf.math.top_k(order, k=num_selected, sorted=False)
        return (
            tf.gather(logits, columns, batch_dims=1),
            tf.gather(labels, columns, batch_dims=1),
        )

    def get_config(self) -> dict:
        return super().get_config() | {"num_hard_negatives": self.num_hard_negatives}
