"""The JSON of a contract: checks of its form, and arrays as JSON."""

import base64
import re
from collections.abc import Iterator
from pathlib import PurePosixPath, PureWindowsPath

import numpy as np
import tensorflow as tf

_SIDES = ("inputs", "outputs")


def wrong_form(contract: object) -> list[str]:
    """Returns a line for each fault that no contract of `serving.export` has.

    A contract may come from elsewhere: its file names must stay inside the version.
    """
    if not isinstance(contract, dict):
        return [f"the contract is no object, but {type(contract).__name__}"]
    objects = ("signatures", "files", "server", "libraries")
    missing = [key for key in objects if not isinstance(contract.get(key), dict)]
    if not isinstance(contract.get("samples"), list):
        missing.append("samples")
    if not isinstance(contract.get("about", {}), dict):  # old contracts have none
        missing.append("about")
    if missing:
        return [f"the contract lacks {', '.join(missing)}"]
    return [
        *_files(contract["files"]),
        *_server(contract["server"]),
        *_signatures(contract["signatures"]),
        *_samples(contract["samples"]),
    ]


def _files(files: dict) -> Iterator[str]:
    for name, digest in files.items():
        posix, windows = PurePosixPath(name), PureWindowsPath(name)
        if (
            not name
            or windows.anchor
            or str(posix) != name
            or ".." in (*posix.parts, *windows.parts)
            or "\0" in name
        ):
            yield f"the contract names a file outside of the version: {name!r}"
        if not isinstance(digest, str) or not re.fullmatch(r"[0-9a-f]{64}", digest):
            yield f"the sha256 of {name!r} in the contract is none: {digest!r}"


def _server(server: dict) -> Iterator[str]:
    for key in ("needs", "custom_ops", "ops"):
        value = server.get(key)
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            yield f"`{key}` of the server in the contract is no list of strings"


def _signatures(signatures: dict) -> Iterator[str]:
    for name, signature in signatures.items():
        if not _is_object(signature, *_SIDES):
            yield f"signature `{name}` of the contract lacks inputs or outputs"
            continue
        if not isinstance(signature.get("batchable", False), bool):
            yield f"signature `{name}` of the contract is batchable or not, but neither"
        for side in _SIDES:
            for key, spec in signature[side].items():
                try:
                    check_dtype(spec["dtype"])
                    if spec["shape"] is not None:
                        check_shape(spec["shape"])
                except (KeyError, TypeError, ValueError) as error:
                    yield (
                        f"signature `{name}`, {side[:-1]} `{key}` of the contract is "
                        f"no dtype and shape: {error}"
                    )


def _samples(samples: list) -> Iterator[str]:
    for number, sample in enumerate(samples):
        if not _is_object(sample, *_SIDES) or not isinstance(
            sample.get("signature"), str
        ):
            yield f"sample {number} of the contract lacks signature, inputs or outputs"
            continue
        for side in _SIDES:
            for key, value in sample[side].items():
                try:
                    from_json(value)
                except (ValueError, OverflowError) as error:
                    where = f"sample {number}, {side[:-1]} `{key}`"
                    yield f"{where} of the contract: {error}"


def _is_object(value: object, *objects: str) -> bool:
    return isinstance(value, dict) and all(
        isinstance(value.get(key), dict) for key in objects
    )


def to_json(values: np.ndarray) -> dict:
    """Converts an array to `dtype`, `shape` and flat `values`, readable and exact.

    Bytes that are no UTF-8 become `{"b64": ...}`; NaN and infinities become strings.
    """
    dtype = tf.as_dtype(values.dtype)
    return {
        "dtype": dtype.name,
        "shape": list(values.shape),
        "values": [_plain(value, dtype) for value in values.reshape(-1).tolist()],
    }


def from_json(entry: dict) -> np.ndarray:
    """Converts an entry that `to_json` made back to its array.

    Raises:
      ValueError: `to_json` cannot have made the entry.
    """
    if not isinstance(entry, dict) or not entry.keys() >= {"dtype", "shape", "values"}:
        raise ValueError("it is no object of `dtype`, `shape` and `values`")
    dtype, shape, values = entry["dtype"], entry["shape"], entry["values"]
    check_dtype(dtype)
    check_shape(shape)
    if not isinstance(values, list) or None in shape:
        raise ValueError("its values are no list, or its shape is open")
    dtype = tf.as_dtype(dtype)
    with np.errstate(over="ignore"):  # a float that is too large becomes infinite
        array = np.array(
            [_read(value, dtype) for value in values], dtype.as_numpy_dtype
        )
    return array.reshape(shape)


def check_dtype(name: object) -> None:
    """Checks that a value is the name of a dtype.

    Raises:
      ValueError: it is not.
    """
    try:
        known = isinstance(name, str) and tf.as_dtype(name).name == name
    except TypeError:
        known = False
    if not known:
        raise ValueError(f"{name!r} is no dtype")


def check_shape(shape: object) -> None:
    """Checks that a value is a list of sizes, with None for an unknown size.

    Raises:
      ValueError: it is not.
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
