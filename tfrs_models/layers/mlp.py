"""A stack of dense layers."""

from collections.abc import Sequence

import tensorflow as tf

from tfrs_models import torch_weights
from tfrs_models._keras import register
from tfrs_models.ops.features.checks import check_width
from tfrs_models.ops.numbers import is_whole


@register
class MLP(tf.keras.layers.Layer):
    """Applies dense layers with ReLU between them; the last one is linear.

    Example:
      >>> layer = tm.layers.MLP([16, 1])
      >>> layer(tf.ones([2, 3])).shape
      TensorShape([2, 1])
      >>> [kernel.shape.as_list() for kernel in layer.weights[::2]]
      [[3, 16], [16, 1]]
    """

    def __init__(self, units: Sequence[int], **kwargs) -> None:
        """Initializes the layer.

        Args:
          units: widths of the layers; the last one is the width of the output.
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        self.units = tuple(units)
        if not self.units or not all(is_whole(width, 1) for width in self.units):
            raise ValueError(
                "`units` must be one width or more, each at least 1. Got "
                f"{list(self.units)}."
            )
        self.stack = [tf.keras.layers.Dense(width, "relu") for width in self.units[:-1]]
        self.stack.append(tf.keras.layers.Dense(self.units[-1]))

    def build(self, input_shape: tf.TensorShape) -> None:
        width = input_shape[-1]
        check_width(width)
        for layer in self.stack:
            if not layer.built:  # `torch_arrays` may have built it
                with tf.name_scope(layer.name):  # HDF5 files want distinct names
                    layer.build((None, width))
            width = layer.units
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Applies the layers.

        Args:
          inputs: `[..., width]` values.

        Returns:
          `[..., units[-1]]`.
        """
        for layer in self.stack:
            inputs = layer(inputs)
        return inputs

    def torch_arrays(
        self, names: Sequence[str], arrays: torch_weights.Arrays
    ) -> torch_weights.Targets:
        """Assigns the arrays of `torch.nn.Linear` layers to the dense layers.

        Args:
          names: names of the original's layers, in order.
          arrays: state dict of the original.
        """
        targets = {}
        for name, layer in zip(names, self.stack, strict=True):
            targets |= torch_weights.linear(name, layer, arrays)
        return targets

    def get_config(self) -> dict:
        return super().get_config() | {"units": list(self.units)}
