"""Inputs as the signature wants them."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfrs_models.serving.client.errors import InvalidRequest


def pick_signature(signatures: Mapping[str, Mapping], name: str) -> Mapping:
    """The signature of a name.

    Raises:
      InvalidRequest: there is none.
    """
    if name not in signatures:
        raise InvalidRequest(
            f"There is no signature `{name}`. The model has {sorted(signatures)}."
        )
    return signatures[name]


def to_arrays(
    inputs: Mapping[str, object], specs: Mapping[str, Mapping]
) -> dict[str, np.ndarray]:
    """Arrays of the dtypes of the signature; strings as bytes.

    Args:
      inputs: Input -> an array, a list or a single value.
      specs: Input -> `dtype` and `shape`.

    Raises:
      InvalidRequest: an input is missing, unknown or of another kind.
    """
    if inputs.keys() != specs.keys():
        raise InvalidRequest(
            f"The inputs must be {sorted(specs)}. Got {sorted(inputs)}."
        )
    return {name: _cast(name, inputs[name], spec) for name, spec in specs.items()}


def _cast(name: str, values: object, spec: Mapping) -> np.ndarray:
    dtype = tf.as_dtype(spec["dtype"])
    if dtype == tf.string:
        array = np.asarray(values, object)  # NumPy cannot mix text and bytes
        encoded = [v.encode() if isinstance(v, str) else v for v in array.flat]
        if all(isinstance(value, bytes) for value in encoded):
            flat = np.empty(len(encoded), object)
            flat[:] = encoded
            return flat.reshape(array.shape)
    array = np.asarray(values)
    if dtype != tf.string:
        # An empty list is of no kind.
        casting = "same_kind" if array.size else "unsafe"
        try:
            return array.astype(dtype.as_numpy_dtype, casting=casting)
        except (TypeError, ValueError):
            pass
    raise InvalidRequest(f"The input `{name}` must be {dtype.name}. Got {array.dtype}.")
