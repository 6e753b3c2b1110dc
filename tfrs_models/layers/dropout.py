"""Dropout that goes on where a checkpoint left it."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.layers.draws import Draws


@register
class Dropout(Draws, tf.keras.layers.Dropout):
    """Sets a share of the inputs to 0 in training, and scales the others up.

    It is Keras's layer with another source of random numbers: a `tf.train.Checkpoint`
    of the model holds the position in the sequence of masks, so a resumed training
    draws the masks of the uninterrupted one. Keras's own layer starts its sequence
    anew in each process. Arguments are those of `tf.keras.layers.Dropout`.

    Example:
      >>> drop = tm.layers.Dropout(0.5)
      >>> drop(tf.ones([1, 4])).numpy()  # no training
      array([[1., 1., 1., 1.]], dtype=float32)
      >>> bool(tf.reduce_all(drop(tf.ones([99]), training=True) == 1))
      False
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Drops inputs.

        Args:
          inputs: floats of any shape.
          training: whether inputs are dropped.

        Returns:
          The inputs' shape.
        """
        if not self.rate:
            return tf.identity(inputs)
        if training is None:
            training = tf.keras.backend.learning_phase()
        return tf.__internal__.smart_cond.smart_cond(
            training, lambda: self._dropped(inputs), lambda: tf.identity(inputs)
        )

    def _dropped(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.nn.experimental.stateless_dropout(
            inputs,
            self.rate,
            self.next_seed(self.seed),
            noise_shape=self._get_noise_shape(inputs),
        )
