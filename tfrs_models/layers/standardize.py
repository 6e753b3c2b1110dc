"""A layer that brings features to mean 0 and deviation 1."""

import numpy as np
import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.ops.features.checks import check_width


@register
class Standardize(tf.keras.layers.Layer):
    """Subtracts the mean of each feature and divides by its standard deviation.

    Both are set once, by `set_statistics`, and saved as weights that are not trained.
    Until then the features pass as they are.

    Example:
      >>> layer = tm.layers.Standardize()
      >>> layer.set_statistics([3.0, 0.0], [2.0, 1.0])
      >>> layer([[7.0, 0.5]]).numpy()
      array([[2. , 0.5]], dtype=float32)
    """

    def build(self, input_shape: tf.TensorShape) -> None:
        width = tf.TensorShape(input_shape)[-1]
        check_width(width)
        self.mean = self.add_weight(
            "mean", [width], trainable=False, initializer="zeros"
        )
        self.scale = self.add_weight(
            "scale", [width], trainable=False, initializer="ones"
        )
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Standardizes features, `[..., width]`."""
        return (tf.cast(inputs, self.mean.dtype) - self.mean) * self.scale

    def set_statistics(self, mean: np.ndarray, deviation: np.ndarray) -> None:
        """Sets what is subtracted and divided by.

        Args:
          mean: `[width]` means.
          deviation: `[width]` standard deviations; a feature with 0 is not divided.
        """
        mean = np.asarray(mean, np.float32)
        deviation = np.asarray(deviation, np.float32)
        if not self.built:
            self.build(tf.TensorShape([None, *mean.shape]))
        self.mean.assign(mean)
        self.scale.assign(1 / np.where(deviation > 0, deviation, 1))
