"""Loads the weights of a PyTorch original into its Keras port."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf


class TorchArray(NamedTuple):
    """Where an array of the original goes.

    Attributes:
      variable: Of the port; None where the original has an array that it never uses.
      layout: From the original's layout to that of the variable.
    """

    variable: tf.Variable | None
    layout: Callable[[np.ndarray], np.ndarray] = np.asarray


UNUSED = TorchArray(None)
_NOT_BUILT = TorchArray(None)


Arrays = Mapping[str, np.ndarray]
Targets = dict[str, TorchArray]


def linear(prefix: str, dense: tf.keras.layers.Dense, arrays: Arrays) -> Targets:
    """The two arrays of a `torch.nn.Linear`, whose weight is `[out, in]`.

    A layer that has met no input yet takes its input width from the arrays.
    """
    weight = arrays.get(f"{prefix}.weight")
    if not dense.built:
        if np.ndim(weight) != 2 or np.shape(weight)[0] != dense.units:
            return {f"{prefix}.weight": _NOT_BUILT, f"{prefix}.bias": _NOT_BUILT}
        dense.build((None, np.shape(weight)[1]))
    return {
        f"{prefix}.weight": TorchArray(dense.kernel, np.transpose),
        f"{prefix}.bias": TorchArray(dense.bias),
    }


def normalization(
    prefix: str, norm: tf.keras.layers.LayerNormalization, width: int
) -> Targets:
    """The two arrays of a `torch.nn.LayerNorm` over `width` values."""
    if not norm.built:
        with tf.name_scope(norm.name):
            norm.build((None, width))
    return {
        f"{prefix}.weight": TorchArray(norm.gamma),
        f"{prefix}.bias": TorchArray(norm.beta),
    }


def transformer_layer(
    linears: Sequence[tf.keras.layers.Dense],
    norms: Sequence[tf.keras.layers.LayerNormalization],
    width: int,
    arrays: Arrays,
) -> Targets:
    """What a `torch.nn.Transformer...Layer` numbers from 1 on: `linear1`, `norm1`."""
    targets = {}
    for place, layer in enumerate(linears, start=1):
        targets |= linear(f"linear{place}", layer, arrays)
    for place, norm in enumerate(norms, start=1):
        targets |= normalization(f"norm{place}", norm, width)
    return targets


def under(prefix: str, port: "TorchPort", arrays: Arrays) -> Targets:
    """The arrays of a part of the original, whose names begin with its own."""
    inner = {
        name.removeprefix(f"{prefix}."): value
        for name, value in arrays.items()
        if name.startswith(f"{prefix}.")
    }
    targets = port.torch_arrays(inner)
    return {f"{prefix}.{name}": target for name, target in targets.items()}


class TorchPort:
    """A layer or model that is the port of a PyTorch module.

    A class that mixes this in says in `torch_arrays` which variable each array of the
    original's state dict belongs to.
    """

    def torch_arrays(self, arrays: Arrays) -> Targets:
        """The original's names and their variables.

        Args:
          arrays: The original's state dict: layers that are not built yet take their
            widths from it.

        Returns:
          Name -> where it goes, for every array that the original has.
        """
        raise NotImplementedError

    def load_torch_state_dict(self, arrays: Arrays) -> list[str]:
        """Sets all variables that the original has; all or nothing.

        Args:
          arrays: The original's state-dict names -> NumPy arrays.

        Returns:
          Names of the variables that are ours alone and kept their values.

        Raises:
          ValueError: an array is missing, has no place here, or another shape.
        """
        targets = self.torch_arrays(arrays)
        missing = sorted(targets.keys() - arrays.keys())
        unknown = sorted(arrays.keys() - targets.keys())
        if missing or unknown:
            raise ValueError(
                "`arrays` must hold the original's state dict and nothing else. "
                f"Missing: {missing}. Without a place here: {unknown}."
            )
        values = {
            name: target.layout(np.asarray(arrays[name]))
            for name, target in targets.items()
            if target.variable is not None
        }
        wrong = [
            f"`{name}` must be {tuple(targets[name].variable.shape)} here, got "
            f"{value.shape}"
            for name, value in values.items()
            if value.shape != tuple(targets[name].variable.shape)
        ]
        wrong += [
            f"`{name}` must be [out, in] of a layer with as many outputs as here, got "
            f"shape {np.shape(arrays[name])}"
            for name, target in targets.items()
            if target is _NOT_BUILT and name.endswith(".weight")
        ]
        if wrong:
            raise ValueError(
                "`arrays` must fit the sizes that this was made with, read in Keras's "
                f"layout: {'; '.join(wrong)}."
            )
        for name, value in values.items():
            targets[name].variable.assign(value)
        loaded = {id(target.variable) for target in targets.values()}
        return [v.name for v in self.trainable_variables if id(v) not in loaded]
