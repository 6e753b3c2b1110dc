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
    """The array of which `to_json` made the entry."""
    dtype = tf.as_dtype(entry["dtype"])
    values = entry["values"]
    if dtype == tf.string:
        values = [
            value.encode() if isinstance(value, str) else base64.b64decode(value["b64"])
            for value in values
        ]
    elif dtype.is_floating:
        values = [float(value) for value in values]
    return np.array(values, dtype.as_numpy_dtype).reshape(entry["shape"])


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
