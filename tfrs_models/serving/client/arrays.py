"""Converts the inputs of a request to the dtypes of a signature."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfrs_models.serving.client.errors import InvalidRequest


def pick_signature(signatures: Mapping[str, Mapping], name: str) -> Mapping:
    """Returns the signature of a name.

    Raises:
      InvalidRequest: the model has no such signature.
    """
    if name not in signatures:
        raise InvalidRequest(
            f"There is no signature `{name}`. The model has {sorted(signatures)}."
        )
    return signatures[name]


def to_arrays(
    inputs: Mapping[str, object], specs: Mapping[str, Mapping]
) -> dict[str, np.ndarray]:
    """Converts named values to arrays of the signature's dtypes; strings become bytes.

    Args:
      inputs: input name -> array, list or scalar.
      specs: input name -> `dtype` and `shape`.

    Raises:
      InvalidRequest: an input is missing, unknown, ragged or of another type, or a
        value does not fit its dtype.
    """
    if inputs.keys() != specs.keys():
        raise InvalidRequest(
            f"The inputs must be {sorted(specs)}. Got {sorted(inputs)}."
        )
    return {
        name: to_array(name, inputs[name], tf.as_dtype(spec["dtype"]))
        for name, spec in specs.items()
    }


def to_array(name: str, values: object, dtype: tf.DType) -> np.ndarray:
    """Converts values to an array of a dtype without changing any value.

    Args:
      name: name of the input, for error messages.
      values: array, list or scalar.
      dtype: dtype of the input; strings become bytes.

    Raises:
      InvalidRequest: the values are ragged, of another type, or do not fit the dtype.
    """
    if dtype == tf.string:
        return _to_bytes(name, values)
    array = _rectangle(name, values)
    if not array.size:  # an empty list has no dtype
        return array.astype(dtype.as_numpy_dtype)
    # NumPy separates signed from unsigned integers; the values are compared below.
    integers = array.dtype.kind in "iu" and dtype.is_integer
    casting = "unsafe" if integers else "same_kind"
    try:
        with np.errstate(over="ignore"):
            cast = array.astype(dtype.as_numpy_dtype, casting=casting)
    except (TypeError, ValueError):
        raise _of_another_kind(name, dtype, array.dtype) from None
    if dtype.is_integer:
        fits = cast == array
    else:
        fits = np.isfinite(cast) == np.isfinite(array)
    if not np.all(fits):
        raise InvalidRequest(
            f"The input `{name}` is {dtype.name} and {array[~fits][0]} does not fit. "
            "Give values that do, or export the model with a wider input."
        )
    return cast


def _to_bytes(name: str, values: object) -> np.ndarray:
    array = _rectangle(name, values, object)  # NumPy cannot mix text and bytes
    flat = np.empty(array.size, object)
    flat[:] = [v.encode() if isinstance(v, str) else v for v in array.flat]
    for value in flat:
        if not isinstance(value, bytes):
            raise _of_another_kind(name, tf.string, type(value).__name__)
    return flat.reshape(array.shape)


def _rectangle(name: str, values: object, dtype: type | None = None) -> np.ndarray:
    try:
        array = np.asarray(values, dtype)
        ragged = array.dtype == object and any(
            isinstance(value, (list, tuple, np.ndarray)) for value in array.flat
        )
    except ValueError:
        ragged = True
    if ragged:
        raise InvalidRequest(
            f"The lists of the input `{name}` are not of one width. Pad the lists to "
            'one width with "" or -1.'
        )
    return array


def _of_another_kind(name: str, dtype: tf.DType, got: object) -> InvalidRequest:
    return InvalidRequest(f"The input `{name}` must be {dtype.name}. Got {got}.")
