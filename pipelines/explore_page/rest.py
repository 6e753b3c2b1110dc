"""The REST interface of TensorFlow Serving, answered by a SavedModel in this process.

Paths, bodies and answers are those of TensorFlow Serving, so that a client can be
developed against it. It is not TensorFlow Serving: no batching, no second version, no
gRPC, one model after the other.
"""

import re
import urllib.parse
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2

from tfrs_models.serving.client.arrays import pick_signature, to_arrays
from tfrs_models.serving.client.errors import InvalidRequest
from tfrs_models.serving.client.rest_client import from_base64, to_json
from tfrs_models.serving.signatures import describe

MOST_ROWS = 1_000
MOST_ITEMS = 100_000  # of all rows of an answer together
_PATH = re.compile(
    r"/v1/models/(?P<model>[^/:]+)"
    r"(?:/versions/(?P<version>\d{1,19})|/labels/(?P<label>[^/:]+))?"
    r"(?P<what>/metadata|:\w+)?"
)
_ASSERTION = re.compile(r"assertion failed: \[(.*?)\](?: \[|$)", re.MULTILINE)
_NO_REASONS = ("Graph execution error", "Detected at node", "<stack traces")
_TASKS = (":predict", ":classify", ":regress")


class RequestError(Exception):
    """A request that has an error for an answer.

    Attributes:
      status: status of HTTP.
    """

    def __init__(self, status: int, message: str) -> None:
        """Initializes the error.

        Args:
          status: status of HTTP.
          message: sentence on what is wrong and what to do.
        """
        super().__init__(message)
        self.status = status


class RestModel:
    """A SavedModel with a name and a version, as the REST interface serves it."""

    def __init__(
        self,
        name: str,
        version: int,
        signatures: Mapping[str, Callable],
        *,
        num_items: int | None = None,
        owner: object = None,
    ) -> None:
        """Initializes the model.

        Args:
          name: name of the model in paths.
          version: number of the version.
          signatures: `signatures` of a loaded SavedModel.
          num_items: number of items that a row can be answered with; None if unknown.
          owner: the loaded SavedModel, which its signatures alone do not keep alive.
        """
        self._owner = owner
        self.name = name
        self.version = version
        self.num_items = num_items
        self._functions = dict(signatures)
        self.signatures = {
            key: {
                "inputs": describe(function.structured_input_signature[1]),
                "outputs": describe(function.structured_outputs),
            }
            for key, function in self._functions.items()
        }

    def status(self) -> dict:
        """Returns the answer to a request for the status."""
        entry = {
            "version": str(self.version),
            "state": "AVAILABLE",
            "status": {"error_code": "OK", "error_message": ""},
        }
        return {"model_version_status": [entry]}

    def metadata(self) -> dict:
        """Returns the answer to a request for the metadata."""
        found = {
            name: {
                side: {
                    key: _tensor_info(name, key, spec) for key, spec in specs.items()
                }
                for side, specs in signature.items()
            }
            | {"method_name": "tensorflow/serving/predict"}
            for name, signature in self.signatures.items()
        }
        spec = {"name": self.name, "signature_name": "", "version": str(self.version)}
        return {
            "model_spec": spec,
            "metadata": {"signature_def": {"signature_def": found}},
        }

    def predict(self, body: object) -> dict:
        """Answers a request for a prediction.

        Args:
          body: content of the request, which JSON was read from.

        Raises:
          RequestError: the model cannot answer it.
        """
        try:
            form, signature, given = _read(body)
            specs = pick_signature(self.signatures, signature)["inputs"]
            given = _columns(given, specs) if form == "instances" else given
            if not isinstance(given, dict):  # the only input comes without its name
                given = dict.fromkeys(specs, given) if len(specs) == 1 else {}
            given = {str(name): from_base64(values) for name, values in given.items()}
            inputs = to_arrays(given, specs)
            for name, spec in specs.items():
                if not tf.TensorShape(spec["shape"]).is_compatible_with(
                    inputs[name].shape
                ):
                    raise InvalidRequest(
                        f"The input `{name}` must have the shape {spec['shape']}. Got "
                        f"{[*inputs[name].shape]}."
                    )
        except InvalidRequest as error:
            raise RequestError(400, str(error)) from error
        except RecursionError as error:
            raise RequestError(400, "The lists are nested too deep.") from error
        self._check_size(inputs)
        outputs = self.call(signature, inputs)
        return _rows(outputs) if form == "instances" else _whole(outputs)

    def call(
        self, signature: str, inputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Answers arrays with arrays.

        Args:
          signature: name of the signature.
          inputs: input -> array of its dtype and shape.

        Raises:
          RequestError: the model refuses the values.
        """
        specs = self.signatures[signature]["inputs"]
        tensors = {
            name: tf.constant(inputs[name], specs[name]["dtype"]) for name in specs
        }
        try:
            found = self._functions[signature](**tensors)
        except (
            tf.errors.InvalidArgumentError,
            tf.errors.OutOfRangeError,
            tf.errors.FailedPreconditionError,
        ) as error:
            raise RequestError(400, _reason(str(error.message))) from error
        except tf.errors.ResourceExhaustedError as error:
            raise RequestError(
                503, "There is not enough memory for this request: send fewer rows."
            ) from error
        return {name: value.numpy() for name, value in found.items()}

    def _check_size(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Raises `RequestError` if an answer would be too large for this server."""
        rows = max((len(v) for v in inputs.values() if v.ndim), default=1)
        if rows > MOST_ROWS:
            raise RequestError(
                400,
                f"A request must have at most {MOST_ROWS:,} rows for this server, "
                f"which is not TensorFlow Serving. Got {rows:,}.",
            )
        most = int(np.max(inputs["k"], initial=0)) if "k" in inputs else 0
        if self.num_items is not None and most > self.num_items:
            return  # the model refuses it, in its words
        if rows * most > MOST_ITEMS:
            raise RequestError(
                400,
                f"The rows of a request must have `k` of at most {MOST_ITEMS:,} in all "
                "for this server, which is not TensorFlow Serving. Got "
                f"{rows:,} rows of {most:,}.",
            )


def find(models: Mapping[str, RestModel], path: str) -> tuple[RestModel, str]:
    """Finds the model of a path.

    Args:
      models: name -> model.
      path: path of the request, with its quotes.

    Returns:
      The model, and "", "/metadata" or ":predict".

    Raises:
      RequestError: there is no such path, model or version.
    """
    parts = _PATH.fullmatch(path)
    if parts is None:
        raise RequestError(404, f"There is no path {path[:200]}. Try /v1/models/NAME.")
    name = urllib.parse.unquote(parts["model"])
    known = ", ".join(sorted(models))
    version, label = parts["version"], parts["label"]
    wanted = f"Latest({name})"
    if version is not None:
        wanted = f"Specific({name}, {version})"
    model = models.get(name)
    is_other = version is not None and model and int(version) != model.version
    if model is None or is_other:
        has = f"It has {known}."
        if model is not None:
            has = f"It has version {model.version} of {name}."
        raise RequestError(404, f"Servable not found for request: {wanted}. {has}")
    if label is not None:
        raise RequestError(404, f"Servable {name} has no label. Name a version.")
    what = parts["what"] or ""
    if what.startswith(":") and what not in _TASKS:
        raise RequestError(404, f"There is no {what[:200]}. Try {name}:predict.")
    if what in _TASKS[1:]:
        raise RequestError(400, f"The model has no signature for {what[1:]}.")
    return model, what


def _reason(message: str) -> str:
    """Returns the sentence of an assertion of a graph, or the first line about it."""
    if found := _ASSERTION.search(message):
        return found[1].rstrip(" .") + "."
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    about = [line for line in lines if not line.startswith(_NO_REASONS)]
    return (about or lines or ["The model refuses the values."])[0]


def _read(body: object) -> tuple[str, str, object]:
    """Returns "inputs" or "instances", the name of the signature and the values."""
    if not isinstance(body, dict):
        raise RequestError(
            400, f"The body must be a JSON object. Got {type(body).__name__}."
        )
    forms = [name for name in ("inputs", "instances") if name in body]
    if len(forms) != 1:
        raise RequestError(
            400,
            "The body must have `inputs` (values by input) or `instances` (an object "
            f"for each row), one of the two. Got {sorted(map(str, body))[:9]}.",
        )
    if unknown := body.keys() - {"signature_name", "inputs", "instances"}:
        raise RequestError(
            400,
            "The body must have `signature_name` and `inputs` or `instances`. Got "
            f"{sorted(map(str, unknown))[:9]} too.",
        )
    name = body.get("signature_name") or "serving_default"
    if not isinstance(name, str):
        raise RequestError(400, f"`signature_name` must be text. Got {name!r:.80}.")
    return forms[0], name, body[forms[0]]


def _columns(rows: object, specs: Mapping[str, Mapping]) -> dict[str, list]:
    """Turns the objects of rows into the values of each input."""
    if not isinstance(rows, list) or not rows:
        raise InvalidRequest("`instances` must be a list with an object for each row.")
    if len(specs) == 1 and not isinstance(rows[0], dict):
        return {next(iter(specs)): rows}
    for row in rows:
        if not isinstance(row, dict) or row.keys() != specs.keys():
            got = sorted(row) if isinstance(row, dict) else type(row).__name__
            raise InvalidRequest(f"The inputs must be {sorted(specs)}. Got {got}.")
    return {name: [row[name] for row in rows] for name in specs}


def _whole(outputs: Mapping[str, np.ndarray]) -> dict:
    found = {name: to_json(values) for name, values in outputs.items()}
    return {"outputs": found if len(found) > 1 else next(iter(found.values()))}


def _rows(outputs: Mapping[str, np.ndarray]) -> dict:
    sizes = {len(values) if values.ndim else None for values in outputs.values()}
    if len(sizes) != 1 or None in sizes:
        raise RequestError(
            400, "The outputs of this signature are not one for each row: use `inputs`."
        )
    found = {name: to_json(values) for name, values in outputs.items()}
    if len(found) == 1:
        return {"predictions": next(iter(found.values()))}
    names, columns = found.keys(), found.values()
    return {
        "predictions": [
            dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)
        ]
    }


def _tensor_info(signature: str, name: str, spec: Mapping) -> dict:
    shape = spec["shape"]
    dims = [{"size": str(-1 if n is None else n), "name": ""} for n in shape or []]
    return {
        "dtype": types_pb2.DataType.Name(tf.as_dtype(spec["dtype"]).as_datatype_enum),
        "tensor_shape": {"dim": dims, "unknown_rank": shape is None},
        "name": f"{signature}_{name}:0",
    }
