"""Experts, and the weights that a gate gives them."""

from collections.abc import Sequence

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.layers.dropout import Dropout
from tfrs_models.ops.features.checks import check_width
from tfrs_models.ops.numbers import is_whole


@register
class Expert(tf.keras.layers.Layer):
    """Applies dense layers, each with ReLU and dropout."""

    def __init__(self, units: Sequence[int], *, dropout: float = 0.0, **kwargs) -> None:
        """Initializes the layer.

        Args:
          units: widths of the layers.
          dropout: share of the outputs of each layer that training drops, in [0, 1).
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        self.units = tuple(units)
        if not all(is_whole(width, 1) for width in self.units):
            raise ValueError(f"`units` must be at least 1 each. Got {list(units)}.")
        if not 0 <= dropout < 1:
            raise ValueError(f"`dropout` must be in [0, 1). Got {dropout}.")
        self.dropout = dropout
        self.stack = [tf.keras.layers.Dense(width, "relu") for width in self.units]
        self._drop = Dropout(dropout)

    def build(self, input_shape: tf.TensorShape) -> None:
        check_width(input_shape[-1])
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Applies the layers.

        Args:
          inputs: `[batch, width]` values.
          training: whether to drop outputs.

        Returns:
          `[batch, units[-1]]`; the inputs if there are no layers.
        """
        for layer in self.stack:
            inputs = self._drop(layer(inputs), training=training)
        return inputs

    def after_first(self, values: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Applies the layers after the product of the first one, its bias included.

        Args:
          values: `[batch, units[0]]` values of the first layer before its ReLU.
          training: whether to drop outputs.

        Returns:
          `[batch, units[-1]]`.
        """
        hidden = self._drop(tf.nn.relu(values), training=training)
        for layer in self.stack[1:]:
            hidden = self._drop(layer(hidden), training=training)
        return hidden

    def get_config(self) -> dict:
        return super().get_config() | {
            "units": list(self.units),
            "dropout": self.dropout,
        }


def gate_weights(gate: tf.keras.layers.Dense, inputs: tf.Tensor) -> tf.Tensor:
    """Computes the weights that a gate gives its experts.

    Args:
      gate: layer from the inputs to one logit for each expert.
      inputs: `[batch, width]` values.

    Returns:
      `[batch, num_experts]` float32 weights that sum to 1.
    """
    return tf.nn.softmax(tf.cast(gate(inputs), tf.float32))


def mix(weights: tf.Tensor, experts: Sequence[tf.Tensor]) -> tf.Tensor:
    """Sums the outputs of experts by their weights.

    Args:
      weights: `[batch, num_experts]` weights.
      experts: `[batch, units]` output of each expert.

    Returns:
      `[batch, units]`.
    """
    outputs = tf.stack(experts, axis=1)  # [batch, num_experts, units]
    return tf.einsum("be,beu->bu", tf.cast(weights, outputs.dtype), outputs)


def check_sizes(**sizes: int) -> None:
    """Raises a `ValueError` for a number of tasks, levels or experts below 1."""
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"`{name}` must be at least 1. Got {size}.")
