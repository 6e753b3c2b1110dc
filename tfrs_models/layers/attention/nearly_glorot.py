"""Kernels that begin nearly, but not exactly, like others."""

import tensorflow as tf

from tfrs_models._keras import register


@register
class NearlyGlorotUniform(tf.keras.initializers.Initializer):
    """What `GlorotUniform` draws of the same seed, and noise of the same kind.

    Args:
      seed: Of both.
      noise: Its standard deviation, as a share of the kernel's.
    """

    def __init__(self, seed: int, noise: float = 0.001) -> None:
        self.seed = seed
        self.noise = noise

    def __call__(
        self, shape: tf.TensorShape, dtype: tf.DType | None = None, **kwargs
    ) -> tf.Tensor:
        """Draws a kernel.

        Args:
          shape: Of it.
          dtype: Of it.
          **kwargs: Of `GlorotUniform`.

        Returns:
          The kernel, the same for the same shape.
        """
        kernel, noise = (
            initializer(shape, dtype=dtype, **kwargs)
            for initializer in (
                tf.keras.initializers.GlorotUniform(self.seed),
                tf.keras.initializers.GlorotNormal(self.seed ^ 1),
            )
        )
        return kernel + self.noise * noise

    def get_config(self) -> dict:
        return {"seed": self.seed, "noise": self.noise}
