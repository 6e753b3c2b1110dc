"""A history as each candidate sees it."""

import numpy as np
import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.ops.masks import masked_softmax
from tfrs_models.torch_weights import Arrays, Targets, TorchArray, TorchPort


@register
class BilinearTargetAttention(TorchPort, tf.keras.layers.Layer):
    """A candidate's weighted mean of a history: the softmax of `h W c` over its events.

    The history is held once for all candidates of a row, not repeated for each.

    Reference:
      Shi et al., UniSAR: modeling user transition behaviors between search and
      recommendation, SIGIR 2024.
    """

    def build(self, input_shape: tf.TensorShape) -> None:
        width = input_shape[-1]
        self.kernel = self.add_weight(
            "kernel", (width, width), initializer="glorot_normal"
        )
        super().build(input_shape)

    def call(
        self, history: tf.Tensor, candidates: tf.Tensor, valid: tf.Tensor
    ) -> tf.Tensor:
        """Sums the history up for each candidate.

        Args:
          history: `[batch, seq_len, embedding_dim]`.
          candidates: `[batch, num_candidates, embedding_dim]`, or `[1, num_candidates,
            embedding_dim]` where all rows have the same.
          valid: `[batch, seq_len]` bool, False for padding.

        Returns:
          `[batch, num_candidates, embedding_dim]`; 0 for a history without an event.
        """
        weights = self.weights_of(history, candidates, valid)
        return tf.matmul(weights, history)

    def weights_of(
        self, history: tf.Tensor, candidates: tf.Tensor, valid: tf.Tensor
    ) -> tf.Tensor:
        """How much of each event is in each candidate's mean.

        Args:
          history: As for `call`, like the others.
          candidates: See there.
          valid: See there.

        Returns:
          `[batch, num_candidates, seq_len]`, rows sum to 1, or to 0.
        """
        kernel = tf.cast(self.kernel, history.dtype)
        turned = tf.matmul(history, kernel)  # short, where candidates are many
        scores = tf.matmul(tf.cast(candidates, turned.dtype), turned, transpose_b=True)
        return masked_softmax(scores, valid[:, None, :])

    def torch_arrays(self, arrays: Arrays) -> Targets:
        """The original's matrix, which has an axis of length 1 more.

        Args:
          arrays: The original's state dict.
        """
        if not self.built:
            self.build((None, None, np.shape(arrays["W"])[-1]))
        return {"W": TorchArray(self.kernel, lambda value: np.squeeze(value, 0))}
