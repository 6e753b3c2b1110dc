"""Experts that all tasks share, mixed by a gate of each task."""

from collections.abc import Sequence

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.layers.experts.gated import (
    Expert,
    check_sizes,
    gate_weights,
    mix,
)


@register
class MultiGateExperts(tf.keras.layers.Layer):
    """MMoE: mixes the same experts for every task, by a gate of the task.

    Example:
      >>> layer = tm.layers.MultiGateExperts(num_tasks=2, num_experts=3, units=[8, 4])
      >>> [output.shape.as_list() for output in layer(tf.ones([5, 6]))]
      [[5, 4], [5, 4]]
      >>> layer.gates(tf.ones([5, 6]))[0].shape  # weights of the experts, task 0
      TensorShape([5, 3])

    Reference:
      Ma et al., Modeling task relationships in multi-task learning with multi-gate
      mixture-of-experts, KDD 2018.
    """

    def __init__(
        self,
        num_tasks: int,
        *,
        num_experts: int,
        units: Sequence[int],
        dropout: float = 0.0,
        **kwargs,
    ) -> None:
        """Initializes the layer.

        Args:
          num_tasks: number of outputs.
          num_experts: number of experts, which all tasks share.
          units: widths of the layers of an expert.
          dropout: share of the outputs of each layer that training drops, in [0, 1).
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        check_sizes(num_tasks=num_tasks, num_experts=num_experts)
        self.num_tasks = num_tasks
        self.num_experts = num_experts
        self.units = tuple(units)
        self.dropout = dropout
        self.experts = [Expert(units, dropout=dropout) for _ in range(num_experts)]
        self.gate_layers = [
            tf.keras.layers.Dense(num_experts, name=f"gate_{task}")
            for task in range(num_tasks)
        ]

    def call(self, inputs: tf.Tensor, training: bool = False) -> list[tf.Tensor]:
        """Mixes the experts for each task.

        Args:
          inputs: `[batch, width]` values.
          training: whether experts drop outputs.

        Returns:
          `[batch, units[-1]]` for each task.
        """
        outputs = [expert(inputs, training=training) for expert in self.experts]
        return [mix(weights, outputs) for weights in self.gates(inputs)]

    def gates(self, inputs: tf.Tensor) -> list[tf.Tensor]:
        """Computes the weights that the gate of each task gives the experts.

        Args:
          inputs: `[batch, width]` values.

        Returns:
          `[batch, num_experts]` float32 weights for each task; rows sum to 1.
        """
        return [gate_weights(gate, inputs) for gate in self.gate_layers]

    def get_config(self) -> dict:
        return super().get_config() | {
            "num_tasks": self.num_tasks,
            "num_experts": self.num_experts,
            "units": list(self.units),
            "dropout": self.dropout,
        }
