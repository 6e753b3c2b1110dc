"""TensorFlow Serving's HTTP."""

import base64
import json
import threading
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfrs_models.serving.client.arrays import pick_signature, to_arrays
from tfrs_models.serving.client.errors import (
    DeadlineExceeded,
    InvalidRequest,
    NotFound,
    ServerError,
    Unavailable,
)
from tfrs_models.serving.client.model_address import ModelAddress, VersionStatus
from tfrs_models.serving.client.model_client import ModelClient
from tfrs_models.serving.client.patience import Patience

_ERRORS = {
    400: InvalidRequest,
    404: NotFound,
    502: Unavailable,
    503: Unavailable,
    504: DeadlineExceeded,
}


class RestClient(ModelClient):
    """Asks a model over HTTP and JSON; arrays in, arrays out.

    Close it, or use it in a `with`. Threads may share it. For many rows `GrpcClient` is
    the faster one.
    """

    def __init__(
        self,
        address: str,
        *,
        model: str,
        version: int | None = None,
        label: str | None = None,
        timeout: float = 10.0,
        retries: int = 3,
        backoff: float = 0.1,
    ) -> None:
        """Initializes the client; the server is first asked by a call.

        Args:
          address: `http://host:8501`, or `https`.
          model: As the server's configuration calls it.
          version: A number; the newest where None.
          label: A label of the server's configuration, in place of a number.
          timeout: Seconds for a call with all of its attempts.
          retries: Further attempts where the server is unavailable, and only there.
          backoff: Seconds before the second attempt; twice as long before each other.

        Raises:
          ImportError: `requests` is not installed.
          ValueError: an address without `http://` or `https://`, a version and a
            label, or numbers that make no sense.
        """
        try:
            import requests
        except ImportError as error:
            raise ImportError(
                "RestClient needs the package `requests`: "
                "pip install 'tfrs-models[serving]'."
            ) from error
        if not address.lower().startswith(("http://", "https://")):
            raise ValueError(
                f"`address` must start with http:// or https://. Got {address!r}. "
                f"Write 'http://{address.rpartition('://')[2]}'."
            )
        self._requests = requests
        self._model = ModelAddress(model=model, version=version, label=label)
        self._url = address.rstrip("/") + self._model.path()
        self._patience = Patience(timeout=timeout, retries=retries, backoff=backoff)
        self._own = threading.local()  # sessions are not made for two threads
        self._sessions = []

    def predict(
        self, inputs: Mapping[str, object], *, signature: str = "serving_default"
    ) -> dict[str, np.ndarray]:
        """The model's answer.

        Args:
          inputs: Input -> array, list or single value of the signature's kind.
          signature: Its name.

        Returns:
          Output -> array; strings are bytes.

        Raises:
          ServingError: of the kinds in `serving.client`.
        """
        try:
            specs = pick_signature(self._known_signatures(), signature)
            arrays = to_arrays(inputs, specs["inputs"])
            body = {
                "signature_name": signature,
                "inputs": {name: _to_json(values) for name, values in arrays.items()},
            }
            # Not as `json=`: requests refuses NaN and infinity, which the server reads.
            outputs = self._ask("POST", ":predict", data=json.dumps(body))["outputs"]
        except InvalidRequest:
            self._signatures = None  # a new version may have others
            raise
        try:
            return _from_json(outputs, specs["outputs"])
        except InvalidRequest:
            return self._read_anew(outputs, signature)

    def metadata(self) -> dict[str, dict]:
        """Signature -> `inputs` and `outputs` -> name -> `dtype` and `shape`."""
        found = self._ask("GET", "/metadata")["metadata"]["signature_def"]
        return {
            name: {
                side: {key: _spec(info) for key, info in signature[side].items()}
                for side in ("inputs", "outputs")
            }
            for name, signature in found["signature_def"].items()
            if not name.startswith("__saved_model")
        }

    def status(self) -> list[VersionStatus]:
        """What the server says about the versions, the newest first."""
        found = self._ask("GET", "")["model_version_status"]
        return sorted(
            (
                VersionStatus(
                    int(entry["version"]),
                    entry["state"],
                    entry.get("status", {}).get("error_message", ""),
                )
                for entry in found
            ),
            reverse=True,
        )

    def close(self) -> None:
        """Closes the connections of all threads."""
        while self._sessions:
            self._sessions.pop().close()

    def _read_anew(self, outputs: object, signature: str) -> dict[str, np.ndarray]:
        self._signatures = None  # the answer may be of a new version
        try:
            specs = pick_signature(self._known_signatures(), signature)
            return _from_json(outputs, specs["outputs"])
        except InvalidRequest:
            self._signatures = None
            got = sorted(outputs) if isinstance(outputs, dict) else "one without a name"
            raise ServerError(
                f"{self._url}: the outputs of `{signature}` do not fit the metadata, "
                f"though these were read again. Got {got}. The server may be between "
                "two versions; ask again."
            ) from None

    def _ask(self, method: str, path: str, **arguments: object) -> dict:
        def attempt(left: float) -> dict:
            try:
                response = self._session().request(
                    method, self._url + path, timeout=left, **arguments
                )
            except self._requests.Timeout as error:
                raise DeadlineExceeded(
                    f"{self._url} did not answer in {self._patience.timeout} s."
                ) from error
            except (
                self._requests.ConnectionError,
                self._requests.exceptions.ChunkedEncodingError,
            ) as error:
                raise Unavailable(f"{self._url}: {error}") from error
            content = _content(response)
            if response.status_code == 200 and "error" not in content:
                return content
            kind = _ERRORS.get(response.status_code, ServerError)
            words = content.get("error", content)
            raise kind(f"{self._url}: {response.status_code} {words}")

        return self._patience.call(attempt)

    def _session(self) -> object:
        if not hasattr(self._own, "session"):
            self._own.session = self._requests.Session()
            self._sessions.append(self._own.session)
        return self._own.session


def _to_json(values: np.ndarray) -> object:
    if values.ndim:
        return [_to_json(np.asarray(entry, values.dtype)) for entry in values]
    value = values.item()
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode()}


def _from_json(outputs: object, specs: Mapping[str, Mapping]) -> dict[str, np.ndarray]:
    if len(specs) == 1:  # then the server leaves the name out
        outputs = {next(iter(specs)): outputs}
    elif not isinstance(outputs, dict):
        raise InvalidRequest(f"There must be {sorted(specs)}. Got one without a name.")
    texts = [
        name for name in outputs.keys() & specs if specs[name]["dtype"] == "string"
    ]
    return to_arrays({**outputs, **{n: _from_base64(outputs[n]) for n in texts}}, specs)


def _from_base64(value: object) -> object:
    if isinstance(value, list):
        return [_from_base64(entry) for entry in value]
    if isinstance(value, dict) and value.keys() == {"b64"}:
        return base64.b64decode(value["b64"])
    return value


def _spec(info: Mapping) -> dict:
    dtype = tf.as_dtype(info["dtype"].removeprefix("DT_").lower()).name
    shape = info["tensor_shape"]
    if shape.get("unknown_rank"):
        return {"dtype": dtype, "shape": None}
    sizes = [int(dim["size"]) for dim in shape.get("dim", [])]
    return {"dtype": dtype, "shape": [None if n < 0 else n for n in sizes]}


def _content(response: object) -> dict:
    try:
        return response.json()
    except ValueError:  # a proxy's page, or nothing
        return {"error": response.text[:500]}
