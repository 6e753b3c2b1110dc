"""The similarity that a contrast learns."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfrs_models.torch_weights import Arrays, Targets, TorchArray, TorchPort


class BilinearContrast(TorchPort, tf.keras.layers.Layer):
    """Holds `W` and the temperature `T` of the similarity `tanh(a W b) / T`."""

    _temperature_of_original: str

    def __init__(
        self, temperature: float = 0.5, *, log_temperature: bool = True, **kwargs
    ) -> None:
        """Initializes the layer.

        Args:
          temperature: Before training, above 0.
          log_temperature: Whether the logarithm of the temperature is learned, so that
            it stays above 0; False for the original's, which is learned as it is.
          **kwargs: Of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        if not temperature > 0:
            raise ValueError(f"`temperature` must be above 0. Got {temperature}.")
        self.initial_temperature = float(temperature)
        self.log_temperature = log_temperature
        start = np.log(temperature) if log_temperature else temperature
        with tf.name_scope(self.name):  # HDF5 files want distinct names
            self.temperature_weight = self.add_weight(
                "temperature",
                (),
                dtype=tf.float32,
                initializer=tf.keras.initializers.Constant(start),
                experimental_autocast=False,
            )

    @property
    def temperature(self) -> tf.Tensor:
        """Scalar float32."""
        value = tf.convert_to_tensor(self.temperature_weight)
        return tf.exp(value) if self.log_temperature else value

    def build(self, input_shape: tf.TensorShape | Sequence[int]) -> None:
        width = input_shape[-1]
        self.kernel = self.add_weight(
            "kernel",
            (width, width),
            dtype=tf.float32,
            initializer="glorot_normal",
            experimental_autocast=False,
        )
        super().build(input_shape)

    def torch_arrays(self, arrays: Arrays) -> Targets:
        """The original's matrix and temperature.

        Args:
          arrays: The original's state dict.

        Raises:
          ValueError: the temperature has no logarithm, and `log_temperature` wants it.
        """
        if not self.built:
            self.build(np.shape(arrays["weight_matrix"]))
        name = self._temperature_of_original
        if self.log_temperature and not np.all(arrays.get(name, 1.0) > 0):
            raise ValueError(
                f"`{name}` must be above 0 for its logarithm to be learned. Got "
                f"{arrays[name]}: `log_temperature=False` learns it as it is."
            )
        layout = np.log if self.log_temperature else np.asarray
        return {
            "weight_matrix": TorchArray(self.kernel),
            name: TorchArray(self.temperature_weight, layout),
        }

    def get_config(self) -> dict:
        return super().get_config() | {
            "temperature": self.initial_temperature,
            "log_temperature": self.log_temperature,
        }
