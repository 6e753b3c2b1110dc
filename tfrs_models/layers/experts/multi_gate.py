"""Experts that all tasks share, weighed by a gate of each task."""

from collections.abc import Sequence

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.layers.experts.gated import (
    Expert,
    check_sizes,
    gate_weights,
    weighed,
)


@register
class MultiGateExperts(tf.keras.layers.Layer):
    """MMoE: every task sees its own mixture of the same experts.

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
          num_tasks: How many outputs.
          num_experts: Shared by all tasks.
          units: Widths of an expert's layers.
          dropout: Of the experts, in [0, 1).
          **kwargs: Of `tf.keras.layers.Layer`.
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
          inputs: `[batch, width]`.
          training: Whether experts drop outputs.

        Returns:
          For each task `[batch, units[-1]]`.
        """
        outputs = [expert(inputs, training=training) for expert in self.experts]
        return [weighed(weights, outputs) for weights in self.gates(inputs)]

    def gates(self, inputs: tf.Tensor) -> list[tf.Tensor]:
        """What each task's gate gives each expert.

        Args:
          inputs: `[batch, width]`.

        Returns:
          For each task `[batch, num_experts]` float32; rows sum to 1.
        """
        return [gate_weights(gate, inputs) for gate in self.gate_layers]

    def get_config(self) -> dict:
        return super().get_config() | {
            "num_tasks": self.num_tasks,
            "num_experts": self.num_experts,
            "units": list(self.units),
            "dropout": self.dropout,
        }
