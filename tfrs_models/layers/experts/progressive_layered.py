"""Experts of each task beside experts that all tasks share, in levels."""

from collections.abc import Sequence

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.layers.experts.gated import (
    Expert,
    check_sizes,
    gate_weights,
    weighed,
)
from tfrs_models.torch_weights import UNUSED, Arrays, Targets, TorchPort, linear


@register
class ProgressiveLayered(TorchPort, tf.keras.layers.Layer):
    """PLE: levels of task experts and shared experts; the gates see both.

    In every level a task's gate weighs the task's own experts and the shared ones, in
    this order, and the shared gate, which the last level does not have, those of all
    tasks and the shared ones. A gate reads what its stream was before the level. One
    level is CGC. After the last level a task may have layers of its own.

    Reference:
      Tang et al., Progressive layered extraction: a novel multi-task learning model for
      personalized recommendations, RecSys 2020.
    """

    def __init__(
        self,
        num_tasks: int,
        *,
        num_shared: int,
        num_specific: int,
        units: Sequence[int] | Sequence[Sequence[int]],
        num_levels: int | None = None,
        tower_units: Sequence[int] = (),
        dropout: float = 0.0,
        **kwargs,
    ) -> None:
        """Initializes the layer.

        Args:
          num_tasks: How many outputs.
          num_shared: Shared experts of a level.
          num_specific: Experts of a task in a level.
          units: Widths of the layers of an expert, `[6, 8]` for two layers; or one such
            list for each level, `[[6], [8]]` for two levels of one layer.
          num_levels: Levels of experts; None for as many as `units` has lists, else 1.
          tower_units: Widths of each task's layers after the last level.
          dropout: Of experts and towers, in [0, 1).
          **kwargs: Of `tf.keras.layers.Layer`.

        Raises:
          ValueError: a number below 1, or not one list of widths for each level.
        """
        super().__init__(**kwargs)
        self.units = _widths(units)
        is_by_level = bool(self.units) and isinstance(self.units[0], tuple)
        if num_levels is None:
            num_levels = len(self.units) if is_by_level else 1
        if is_by_level and len(self.units) != num_levels:
            raise ValueError(
                f"`units` must have one list for each of the {num_levels} levels, or "
                f"numbers. Got {units!r}."
            )
        check_sizes(
            num_tasks=num_tasks,
            num_shared=num_shared,
            num_specific=num_specific,
            num_levels=num_levels,
        )
        self.num_tasks = num_tasks
        self.num_shared = num_shared
        self.num_specific = num_specific
        self.num_levels = num_levels
        self.tower_units = tuple(tower_units)
        self.dropout = dropout
        levels = range(num_levels)
        by_level = self.units if is_by_level else [self.units] * num_levels
        self.task_experts = [
            [self._experts(num_specific, widths) for _ in range(num_tasks)]
            for widths in by_level
        ]
        self.shared_experts = [self._experts(num_shared, w) for w in by_level]
        self.task_gates = [
            [
                tf.keras.layers.Dense(
                    num_specific + num_shared, name=f"gate_{level}_{task}"
                )
                for task in range(num_tasks)
            ]
            for level in levels
        ]
        self.shared_gates = [
            tf.keras.layers.Dense(
                num_tasks * num_specific + num_shared, name=f"shared_gate_{level}"
            )
            for level in levels[:-1]
        ]
        self.towers = [
            Expert(tower_units, dropout=dropout, name=f"tower_{task}")
            for task in range(num_tasks)
        ]

        # Keras's newer files hold the layers of flat lists only.
        self._layers_in_levels = [
            layer
            for level in (*self.task_experts, self.shared_experts, self.task_gates)
            for group in level
            for layer in group
        ]

    def call(self, inputs: tf.Tensor, training: bool = False) -> list[tf.Tensor]:
        """Mixes the experts for each task.

        Args:
          inputs: `[batch, width]`.
          training: Whether experts and towers drop outputs.

        Returns:
          For each task `[batch, width]` of the last layer.
        """
        streams, _ = self._levels(inputs, training=training)
        return [
            tower(stream, training=training)
            for tower, stream in zip(self.towers, streams, strict=True)
        ]

    def call_in_parts(
        self, parts: Sequence[tf.Tensor], task: int, training: bool = False
    ) -> tf.Tensor:
        """One task's output for inputs that rows share in part.

        As `call` of the parts side by side, but a part that is the same for all
        candidates of a row meets the first layers once, and is not repeated. For one
        level.

        Args:
          parts: `[batch, num_candidates, width]` each, or `[batch, 1, width]`.
          task: Of the outputs.
          training: Whether experts and towers drop outputs.

        Returns:
          `[batch * num_candidates, width]` of the last layer.

        Raises:
          ValueError: there are more levels, or experts without a layer.
        """
        first_units = self.shared_experts[0][0].units
        if self.num_levels > 1 or not first_units:
            raise ValueError(
                "`num_levels` must be 1, and `units` not empty, for inputs in parts. "
                f"Got {self.num_levels} and {list(self.units)}."
            )
        if not self.built:  # makes the kernels
            self(tf.concat([part[:0, 0] for part in parts], axis=-1))
        experts = [*self.task_experts[0][task], *self.shared_experts[0]]
        layers = [*(expert.stack[0] for expert in experts), self.task_gates[0][task]]
        dtype = parts[0].dtype
        kernel = tf.concat([tf.cast(layer.kernel, dtype) for layer in layers], axis=1)
        total = tf.concat([tf.cast(layer.bias, dtype) for layer in layers], axis=0)
        rows = tf.split(kernel, [part.shape[-1] for part in parts])
        products = [
            (tf.cast(part, dtype), part_rows)
            for part, part_rows in zip(parts, rows, strict=True)
        ]
        for values, part_rows in products:
            if values.shape[1] == 1:  # first: small until they meet the others
                total += tf.matmul(values, part_rows)
        if wide := [pair for pair in products if pair[0].shape[1] != 1]:
            values, part_rows = zip(*wide, strict=True)
            total += tf.matmul(tf.concat(values, -1), tf.concat(part_rows, 0))
        total = tf.reshape(total, [-1, kernel.shape[1]])
        first, gate = tf.split(total, [len(experts) * first_units[0], -1], axis=1)
        outputs = [
            expert.after_first(values, training=training)
            for expert, values in zip(
                experts, tf.split(first, len(experts), axis=1), strict=True
            )
        ]
        weights = tf.nn.softmax(tf.cast(gate, tf.float32))
        return self.towers[task](weighed(weights, outputs), training=training)

    def gates(self, inputs: tf.Tensor) -> list[tf.Tensor]:
        """What each task's gate of the last level gives each expert.

        Args:
          inputs: `[batch, width]`.

        Returns:
          For each task `[batch, num_specific + num_shared]` float32, its own experts
          first; rows sum to 1.
        """
        return self._levels(inputs, training=False)[1]

    def _levels(
        self, inputs: tf.Tensor, *, training: bool
    ) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """The tasks' streams after the last level, and its gates."""
        streams, shared_stream = [inputs] * self.num_tasks, inputs
        for level in range(self.num_levels):
            own = [
                [expert(stream, training=training) for expert in experts]
                for experts, stream in zip(
                    self.task_experts[level], streams, strict=True
                )
            ]
            shared = [
                expert(shared_stream, training=training)
                for expert in self.shared_experts[level]
            ]
            gates = [
                gate_weights(gate, stream)
                for gate, stream in zip(self.task_gates[level], streams, strict=True)
            ]
            if level + 1 < self.num_levels:
                gate = gate_weights(self.shared_gates[level], shared_stream)
                everything = [expert for experts in own for expert in experts]
                shared_stream = weighed(gate, [*everything, *shared])
            streams = [
                weighed(weights, [*experts, *shared])
                for weights, experts in zip(gates, own, strict=True)
            ]
        return streams, gates

    def torch_arrays(self, arrays: Arrays) -> Targets:
        """The original's experts, gates and towers.

        Args:
          arrays: The original's state dict.
        """
        targets = {}

        def add(prefix: str, layers: Sequence[tf.keras.layers.Dense]) -> None:
            # Linear, ReLU and dropout: three modules for each layer.
            for place, layer in enumerate(layers):
                targets.update(linear(f"{prefix}.mlp.{3 * place}", layer, arrays))

        for level in range(self.num_levels):
            for task, experts in enumerate(self.task_experts[level]):
                for place, expert in enumerate(experts):
                    add(f"task_experts.{level}.{task}.{place}", expert.stack)
                gate = self.task_gates[level][task]
                targets |= linear(f"task_gates.{level}.{task}.0", gate, arrays)
            for place, expert in enumerate(self.shared_experts[level]):
                add(f"share_experts.{level}.{place}", expert.stack)
        for level, gate in enumerate(self.shared_gates):
            targets |= linear(f"share_gates.{level}.0", gate, arrays)
        last = f"share_gates.{self.num_levels - 1}.0"
        targets |= {f"{last}.weight": UNUSED, f"{last}.bias": UNUSED}
        for task, tower in enumerate(self.towers):
            add(f"tower.{task}", tower.stack)
        return targets

    def get_config(self) -> dict:
        return super().get_config() | {
            "num_tasks": self.num_tasks,
            "num_shared": self.num_shared,
            "num_specific": self.num_specific,
            "units": [list(u) if isinstance(u, tuple) else u for u in self.units],
            "num_levels": self.num_levels,
            "tower_units": list(self.tower_units),
            "dropout": self.dropout,
        }

    def _experts(self, count: int, units: Sequence[int]) -> list[Expert]:
        return [Expert(units, dropout=self.dropout) for _ in range(count)]


def _widths(units: Sequence) -> tuple[int, ...] | tuple[tuple[int, ...], ...]:
    """Widths of layers, by level where they are nested."""
    nested = [isinstance(width, Sequence) for width in units]
    if any(nested) and not all(nested):
        raise ValueError(
            f"`units` must be numbers, or a list for each level. Got {units!r}."
        )
    return tuple(tuple(width) if any(nested) else width for width in units)
