"""Arrays as JSON that people can read and that comes back bit for bit."""

import base64

import numpy as np
import tensorflow as tf


def to_json(values: np.ndarray) -> dict:
    """`dtype`, `shape` and flat `values` of an array.

    Bytes that are no UTF-8 become `{"b64": ...}` and numbers that JSON lacks strings.
    """
    dtype = tf.as_dtype(values.dtype)
    return {
        "dtype": dtype.name,
        "shape": list(values.shape),
        "values": [_plain(value, dtype) for value in values.reshape(-1).tolist()],
    }


def from_json(entry: dict) -> np.ndarray:
    """The array of which `to_json` made the entry.

    Raises:
      ValueError: an entry that `to_json` does not make.
    """
    if not isinstance(entry, dict) or not entry.keys() >= {"dtype", "shape", "values"}:
        raise ValueError("it is no object of `dtype`, `shape` and `values`")
    dtype, shape, values = entry["dtype"], entry["shape"], entry["values"]
    check_dtype(dtype)
    check_shape(shape)
    if not isinstance(values, list) or None in shape:
        raise ValueError("its values are no list, or its shape is open")
    dtype = tf.as_dtype(dtype)
    with np.errstate(over="ignore"):  # too large a float is infinite, and so differs
        array = np.array(
            [_read(value, dtype) for value in values], dtype.as_numpy_dtype
        )
    return array.reshape(shape)


def check_dtype(name: object) -> None:
    """Refuses what is no name of a dtype.

    Raises:
      ValueError: it is none.
    """
    try:
        known = isinstance(name, str) and tf.as_dtype(name).name == name
    except TypeError:
        known = False
    if not known:
        raise ValueError(f"{name!r} is no dtype")


def check_shape(shape: object) -> None:
    """Refuses what is no list of sizes, None for an open one.

    Raises:
      ValueError: it is none.
    """
    if not isinstance(shape, list) or not all(
        size is None or (type(size) is int and 0 <= size < 2**63) for size in shape
    ):
        raise ValueError(f"{shape!r} is no shape")


def _read(value: object, dtype: tf.DType) -> object:
    kind = type(value)
    if dtype == tf.string and kind is str:
        return value.encode()
    if dtype == tf.string and kind is dict and isinstance(value.get("b64"), str):
        return base64.b64decode(value["b64"], validate=True)
    if dtype.is_floating and (kind is float or value in ("nan", "inf", "-inf")):
        return float(value)
    if dtype.is_bool and kind is bool:
        return value
    is_whole = dtype.is_integer and not dtype.is_quantized and kind is int
    if is_whole and dtype.min <= value <= dtype.max:
        return value
    raise ValueError(f"{value!r} is no {dtype.name}")


def _plain(value: object, dtype: tf.DType) -> object:
    if dtype == tf.string:
        value = value.encode() if isinstance(value, str) else value
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"b64": base64.b64encode(value).decode()}
    if dtype.is_floating:
        value = float(value)
        return value if np.isfinite(value) else str(value)
    return value
