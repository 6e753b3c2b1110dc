"""Weights of a PyTorch original for its Keras port."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf


class TorchArray(NamedTuple):
    """The variable of the port that an array of the original is loaded into.

    Attributes:
      variable: variable of the port; None for an array that the original never uses.
      layout: function from the original's layout to that of the variable.
    """

    variable: tf.Variable | None
    layout: Callable[[np.ndarray], np.ndarray] = np.asarray


UNUSED = TorchArray(None)
_NOT_BUILT = TorchArray(None)


Arrays = Mapping[str, np.ndarray]
Targets = dict[str, TorchArray]


def linear(prefix: str, dense: tf.keras.layers.Dense, arrays: Arrays) -> Targets:
    """Maps the two arrays of a `torch.nn.Linear`, whose weight is `[out, in]`.

    A layer that is not built yet takes its input width from the arrays.

    Args:
      prefix: name of the original's layer.
      dense: layer of the port.
      arrays: state dict of the original.

    Returns:
      Name of each array -> its variable.
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
    """Maps the two arrays of a `torch.nn.LayerNorm`.

    Args:
      prefix: name of the original's layer.
      norm: layer of the port.
      width: number of values that are normalised together.

    Returns:
      Name of each array -> its variable.
    """
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
    """Maps the numbered layers of a `torch.nn.Transformer...Layer`.

    Args:
      linears: layers of the port for `linear1`, `linear2`, ...
      norms: layers of the port for `norm1`, `norm2`, ...
      width: number of values that are normalised together.
      arrays: state dict of the original.

    Returns:
      Name of each array -> its variable.
    """
    targets = {}
    for number, layer in enumerate(linears, start=1):
        targets |= linear(f"linear{number}", layer, arrays)
    for number, norm in enumerate(norms, start=1):
        targets |= normalization(f"norm{number}", norm, width)
    return targets


def under(prefix: str, port: "TorchPort", arrays: Arrays) -> Targets:
    """Maps the arrays of a part of the original, whose names have a prefix.

    Args:
      prefix: name of the part in the original.
      port: port of the part.
      arrays: state dict of the whole original.

    Returns:
      Name of each array -> its variable.
    """
    inner = {
        name.removeprefix(f"{prefix}."): value
        for name, value in arrays.items()
        if name.startswith(f"{prefix}.")
    }
    targets = port.torch_arrays(inner)
    return {f"{prefix}.{name}": target for name, target in targets.items()}


class TorchPort:
    """A layer or model that is the port of a PyTorch module.

    A class that mixes this in implements `torch_arrays`, which maps each array of the
    original's state dict to its variable.
    """

    def torch_arrays(self, arrays: Arrays) -> Targets:
        """Maps the original's arrays to variables.

        Args:
          arrays: state dict of the original; layers that are not built yet take their
            widths from it.

        Returns:
          Name -> its variable and layout, for every array that the original has.
        """
        raise NotImplementedError

    def load_torch_state_dict(self, arrays: Arrays) -> list[str]:
        """Sets all variables that the original has, or none if one does not fit.

        Args:
          arrays: name in the original's state dict -> NumPy array.

        Returns:
          Names of the variables that only the port has, which are unchanged.

        Raises:
          ValueError: an array is missing, unknown, or of another shape.
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
