"""Experts of each task beside experts that all tasks share, in levels."""

from collections.abc import Sequence

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.layers.experts.gated import (
    Expert,
    check_sizes,
    gate_weights,
    mix,
)
from tfrs_models.torch_weights import UNUSED, Arrays, Targets, TorchPort, linear


@register
class ProgressiveLayered(TorchPort, tf.keras.layers.Layer):
    """PLE: mixes experts of a task and experts that all tasks share, level by level.

    In every level the gate of a task mixes the experts of the task and the shared ones,
    in this order. The shared gate, which the last level does not have, mixes the
    experts of all tasks and the shared ones. Experts and gates of a level read the
    mixtures of the level before. One level is CGC. After the last level a task may have
    dense layers.

    Example:
      >>> layer = tm.layers.ProgressiveLayered(
      ...     2, num_shared=1, num_specific=2, units=[[8], [4]], tower_units=[1]
      ... )
      >>> [output.shape.as_list() for output in layer(tf.ones([5, 6]))]
      [[5, 1], [5, 1]]
      >>> layer.gates(tf.ones([5, 6]))[0].shape  # two experts of task 0, one shared
      TensorShape([5, 3])

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
          num_tasks: number of outputs.
          num_shared: number of shared experts in a level.
          num_specific: number of experts of a task in a level.
          units: widths of the layers of an expert, `[6, 8]` for two layers; or one such
            list for each level, `[[6], [8]]` for two levels of one layer.
          num_levels: number of levels; if None, the number of lists in `units`, or 1.
          tower_units: widths of the layers of a task after the last level.
          dropout: share of the outputs of experts and towers that training drops, in
            [0, 1).
          **kwargs: arguments of `tf.keras.layers.Layer`.

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
          inputs: `[batch, width]` values.
          training: whether experts and towers drop outputs.

        Returns:
          `[batch, width]` for each task, with the width of its last layer.
        """
        streams, _ = self._levels(inputs, training=training)
        return [
            tower(stream, training=training)
            for tower, stream in zip(self.towers, streams, strict=True)
        ]

    def call_in_parts(
        self, parts: Sequence[tf.Tensor], task: int, training: bool = False
    ) -> tf.Tensor:
        """Computes one output for inputs that the candidates of a row share in part.

        The result is that of `call` for the parts side by side. A part that all
        candidates of a row share is multiplied by the first layers once, without being
        repeated. There must be one level.

        Args:
          parts: `[batch, num_candidates, width]` values of each part, or `[batch, 1,
            width]` for a shared part.
          task: index of the output.
          training: whether experts and towers drop outputs.

        Returns:
          `[batch * num_candidates, width]`, with the width of the last layer.

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
        return self.towers[task](mix(weights, outputs), training=training)

    def gates(self, inputs: tf.Tensor) -> list[tf.Tensor]:
        """Computes the weights that the last gate of each task gives the experts.

        Args:
          inputs: `[batch, width]` values.

        Returns:
          `[batch, num_specific + num_shared]` float32 weights for each task, those of
          its specific experts first; rows sum to 1.
        """
        return self._levels(inputs, training=False)[1]

    def _levels(
        self, inputs: tf.Tensor, *, training: bool
    ) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """Returns the tasks' mixtures after the last level, and its gate weights."""
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
                shared_stream = mix(gate, [*everything, *shared])
            streams = [
                mix(weights, [*experts, *shared])
                for weights, experts in zip(gates, own, strict=True)
            ]
        return streams, gates

    def torch_arrays(self, arrays: Arrays) -> Targets:
        """Assigns the original's arrays to experts, gates and towers.

        Args:
          arrays: state dict of the original.
        """
        targets = {}

        def add(prefix: str, layers: Sequence[tf.keras.layers.Dense]) -> None:
            # Linear, ReLU and dropout: three modules for each layer.
            for index, layer in enumerate(layers):
                targets.update(linear(f"{prefix}.mlp.{3 * index}", layer, arrays))

        for level in range(self.num_levels):
            for task, experts in enumerate(self.task_experts[level]):
                for index, expert in enumerate(experts):
                    add(f"task_experts.{level}.{task}.{index}", expert.stack)
                gate = self.task_gates[level][task]
                targets |= linear(f"task_gates.{level}.{task}.0", gate, arrays)
            for index, expert in enumerate(self.shared_experts[level]):
                add(f"share_experts.{level}.{index}", expert.stack)
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
    """Returns the widths of layers, by level if they are nested."""
    nested = [isinstance(width, Sequence) for width in units]
    if any(nested) and not all(nested):
        raise ValueError(
            f"`units` must be numbers, or a list for each level. Got {units!r}."
        )
    return tuple(tuple(width) if any(nested) else width for width in units)
