"""Arrays and signatures as TensorFlow Serving's JSON has them."""

import base64
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfrs_models.serving.client.arrays import to_arrays
from tfrs_models.serving.client.errors import InvalidRequest
from tfrs_models.serving.client.model_address import VersionStatus


def to_json(values: np.ndarray) -> object:
    """Nested lists; bytes that are no UTF-8 become `{"b64": ...}`."""
    if values.ndim:
        return [to_json(np.asarray(entry, values.dtype)) for entry in values]
    value = values.item()
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode()}


def from_json(outputs: object, specs: Mapping[str, Mapping]) -> dict[str, np.ndarray]:
    """The outputs of an answer.

    Raises:
      InvalidRequest: they are not those of the signature.
    """
    if len(specs) == 1:  # then the server leaves the name out
        outputs = {next(iter(specs)): outputs}
    elif not isinstance(outputs, dict):
        raise InvalidRequest(f"There must be {sorted(specs)}. Got one without a name.")
    texts = [
        name for name in outputs.keys() & specs if specs[name]["dtype"] == "string"
    ]
    arrays = to_arrays(
        {**outputs, **{n: _from_base64(outputs[n]) for n in texts}}, specs
    )
    for name, array in arrays.items():
        shape = specs[name]["shape"]
        # Of an empty list nobody knows the shape.
        if array.size and not tf.TensorShape(shape).is_compatible_with(array.shape):
            raise InvalidRequest(
                f"The output `{name}` must have the shape {shape}. Got {array.shape}."
            )
    return arrays


def signatures_of(content: Mapping) -> dict[str, dict]:
    """Signature -> `inputs` and `outputs` -> name -> `dtype` and `shape`.

    Raises:
      AttributeError, KeyError, TypeError, ValueError: the content is none of metadata.
    """
    found = content["metadata"]["signature_def"]["signature_def"]
    return {
        name: {
            side: {key: _spec(info) for key, info in signature.get(side, {}).items()}
            for side in ("inputs", "outputs")
        }
        for name, signature in found.items()
        if not name.startswith("__saved_model")
    }


def statuses_of(content: Mapping) -> list[VersionStatus]:
    """What the server says about the versions.

    Raises:
      AttributeError, KeyError, TypeError, ValueError: the content is none of a status.
    """
    return [
        VersionStatus(
            int(entry["version"]),
            str(entry["state"]),
            str(entry.get("status", {}).get("error_message", "")),
        )
        for entry in content["model_version_status"]
    ]


def _from_base64(value: object) -> object:
    if isinstance(value, list):
        return [_from_base64(entry) for entry in value]
    if isinstance(value, dict) and value.keys() == {"b64"}:
        try:
            return base64.b64decode(value["b64"], validate=True)
        except (TypeError, ValueError) as error:
            raise InvalidRequest(f"{value} is no base64: {error}") from error
    return value


def _spec(info: Mapping) -> dict:
    dtype = tf.as_dtype(info["dtype"].removeprefix("DT_").lower()).name
    shape = info["tensor_shape"]
    if shape.get("unknown_rank"):
        return {"dtype": dtype, "shape": None}
    sizes = [int(dim["size"]) for dim in shape.get("dim", [])]
    return {"dtype": dtype, "shape": [None if n < 0 else n for n in sizes]}
