"""Signatures: the named inputs and outputs of a served function."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from tfrs_models.serving.client.arrays import to_array
from tfrs_models.serving.client.errors import InvalidRequest

Request = Mapping[str, object]
Samples = Mapping[str, Request | Sequence[Request]]


class Signature:
    """A `tf.function` as a server calls it, from named arrays to named arrays."""

    def __init__(self, name: str, function: Callable) -> None:
        """Initializes the signature.

        Args:
          name: name by which clients call the function.
          function: `tf.function` with an input signature of named specs; returns a dict
            of tensors.

        Raises:
          ValueError: the function has no input signature, or its inputs or outputs have
            no names or are not dense.
        """
        self.name = name
        try:
            self._function = function.get_concrete_function()
        except (AttributeError, TypeError, ValueError) as error:
            raise ValueError(
                f"The signature `{name}` must be a tf.function with an "
                f"`input_signature`. Got {function!r}: {error}"
            ) from error
        self._arguments = self._function.structured_input_signature
        specs = tf.nest.flatten(self._arguments)
        outputs = self._function.structured_outputs
        wrong = [s for s in specs if not isinstance(s, tf.TensorSpec)]
        dense = (tf.Tensor, tf.TensorSpec)
        wrong += [o for o in tf.nest.flatten(outputs) if not isinstance(o, dense)]
        wrong += [
            spec
            for argument in function.input_signature or ()
            if tf.nest.is_nested(argument)
            for spec in tf.nest.flatten(argument)
            if spec.name is None
        ]
        if wrong:
            raise ValueError(
                f"The signature `{name}` must take and return dense tensors, for a "
                "server knows no others (ragged ones: values and row splits), and "
                "every spec in a dict or list must have a name, by which clients call "
                f"it. Got {wrong}."
            )
        self.inputs = {spec.name: spec for spec in specs}
        if not isinstance(outputs, Mapping):
            raise ValueError(
                f"The signature `{name}` must return a dict, for clients ask for "
                f"outputs by name. Got {outputs}. Return {{'score': ...}}."
            )
        self.outputs = {
            name: tf.TensorSpec(o.shape, o.dtype) for name, o in outputs.items()
        }

    def __call__(self, request: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the outputs for one request, which `checked` has returned."""
        args, kwargs = tf.nest.map_structure(
            lambda spec: tf.constant(request[spec.name], spec.dtype), self._arguments
        )
        answer = self._function(*args, **kwargs)
        return {name: tf.convert_to_tensor(v).numpy() for name, v in answer.items()}

    def checked(self, request: Request) -> dict[str, np.ndarray]:
        """Converts a request to arrays with the dtypes of the signature.

        Raises:
          ValueError: an input is missing, unknown, or has another dtype or shape.
        """
        if request.keys() != self.inputs.keys():
            raise ValueError(
                f"A sample of `{self.name}` must have the inputs "
                f"{sorted(self.inputs)}. Got {sorted(request)}."
            )
        arrays = {}
        for name, spec in self.inputs.items():
            try:
                arrays[name] = to_array(name, request[name], spec.dtype)
            except InvalidRequest as error:
                raise ValueError(
                    f"The input `{name}` of a sample of `{self.name}` must be "
                    f"{spec.dtype.name}: {error}"
                ) from error
            if not spec.shape.is_compatible_with(arrays[name].shape):
                raise ValueError(
                    f"The input `{name}` of a sample of `{self.name}` must have the "
                    f"shape {spec.shape}. Got {arrays[name].shape}."
                )
        return arrays

    def made_up(self) -> dict[str, np.ndarray]:
        """Makes a request of one row: zeros, empty strings, 1 for a scalar like `k`."""
        return self.checked({name: _blank(spec) for name, spec in self.inputs.items()})


def read_requests(
    signatures: Mapping[str, Signature], samples: Samples
) -> dict[str, list[dict[str, np.ndarray]]]:
    """Converts samples to arrays, a list of requests for each signature.

    Raises:
      ValueError: a sample has an unknown signature, or does not fit its inputs.
    """
    if unknown := samples.keys() - signatures.keys():
        raise ValueError(
            f"`samples` must be of the signatures {sorted(signatures)}. Got "
            f"{sorted(unknown)} too."
        )
    return {
        name: [
            signatures[name].checked(request)
            for request in ([given] if isinstance(given, Mapping) else given)
        ]
        for name, given in samples.items()
    }


def is_batchable(signature: Signature) -> bool:
    """Returns whether a server may join requests: all tensors have a batch axis."""
    specs = [*signature.inputs.values(), *signature.outputs.values()]
    return all(spec.shape.rank and spec.shape[0] is None for spec in specs)


def describe(specs: Mapping[str, tf.TensorSpec]) -> dict[str, dict]:
    """Converts specs to name -> `dtype` and `shape`, the form of the contract."""
    return {
        name: {
            "dtype": specs[name].dtype.name,
            "shape": None if (s := specs[name].shape).rank is None else s.as_list(),
        }
        for name in sorted(specs)
    }


def _blank(spec: tf.TensorSpec) -> object:
    if spec.dtype == tf.string:
        return np.full([size or 1 for size in spec.shape], "")
    fill = 1 if spec.shape.rank == 0 and spec.dtype.is_integer else 0
    shape = [1 if size is None else size for size in spec.shape]
    return np.full(shape, fill, spec.dtype.as_numpy_dtype)
