"""A client of TensorFlow Serving's HTTP port, and the JSON that it exchanges."""

import base64
import contextlib
import json
import urllib.parse
from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np
import tensorflow as tf

from tfrs_models.serving.client.arrays import to_arrays
from tfrs_models.serving.client.errors import (
    DeadlineExceeded,
    InvalidAddress,
    InvalidRequest,
    NotFound,
    ServerError,
    Unavailable,
)
from tfrs_models.serving.client.model_client import (
    ModelAddress,
    ModelClient,
    VersionStatus,
)
from tfrs_models.serving.client.retry_policy import RetryPolicy

Content = TypeVar("Content")

_ERRORS = {
    400: InvalidRequest,
    404: NotFound,
    504: DeadlineExceeded,
}
_UNAVAILABLE = (429, 502, 503)


class RestClient(ModelClient):
    """Predicts with a model of TensorFlow Serving over HTTP and JSON.

    Inputs and outputs are arrays. For many rows `GrpcClient` is faster. Threads may
    share a client. Close it after use, or use it in a `with`.

    Example:
      >>> with tm.serving.client.RestClient(
      ...     "http://localhost:9", model="retrieval", retries=0
      ... ) as client:
      ...     try:
      ...         client.predict({"query": [[0.1, 0.2]], "k": [10]})
      ...     except tm.serving.client.Unavailable as error:
      ...         print("no server")
      no server
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
        auth: object | None = None,
        headers: Mapping[str, str] | None = None,
        max_answer_bytes: int = 2**28,
    ) -> None:
        """Initializes the client without connecting to the server.

        Redirects are errors: requests go only to the server of the address.

        Args:
          address: URL of the server, `http://host:8501` or `https://host`.
          model: name of the model in the server's configuration.
          version: number of the version; None for the newest one.
          label: label of a version in the server's configuration, instead of a number.
          timeout: seconds for a call with all of its attempts, from the connection to
            the last byte. Only the lookup of the host's name may take longer.
          retries: attempts after the first one, made only if the server is unavailable.
          backoff: seconds before the second attempt, doubled before each later one, in
            addition to the seconds of the server's `Retry-After`.
          auth: user and password, or another `auth` of `requests`. No message contains
            them.
          headers: header name -> value, sent with every request; a bearer token, for
            example.
          max_answer_bytes: largest size of an answer in bytes, uncompressed.

        Raises:
          ImportError: `requests` is not installed.
          ValueError: the address lacks `http://` or `https://` or is malformed (an
            `InvalidAddress`), both a version and a label are given, a header is not one
            line, or a number is out of range.
        """
        try:
            import requests  # noqa: F401  the next import needs it
        except ImportError as error:
            raise ImportError(
                "RestClient needs the package `requests`: "
                "pip install 'tfrs-models[serving]'."
            ) from error
        from tfrs_models.serving.client.http import HttpSession, split_address

        if not address.lower().startswith(("http://", "https://")):
            shown = address.rpartition("@")[2]  # before it may be a password
            raise InvalidAddress(
                f"`address` must start with http:// or https://. Got {shown!r}. "
                f"Write 'http://{shown.rpartition('://')[2]}'."
            )
        url, own_auth = split_address(address)
        auth = own_auth if auth is None else auth
        if isinstance(auth, tuple):  # Latin-1, the encoding of HTTP, lacks most letters
            auth = tuple(part.encode() for part in auth)
        headers = dict(headers or {})
        _check_headers(headers)
        if max_answer_bytes < 1:
            raise ValueError(
                f"`max_answer_bytes` must be at least 1. Got {max_answer_bytes}."
            )
        model_address = ModelAddress(model=model, version=version, label=label)
        super().__init__(
            url + model_address.path(),
            model_address,
            RetryPolicy(timeout=timeout, retries=retries, backoff=backoff),
        )
        self._new_session = lambda: HttpSession(
            auth=auth, headers=headers, max_bytes=max_answer_bytes
        )
        self._sessions = []  # those that no thread is using
        self._is_closed = False

    def metadata(self) -> dict[str, dict]:
        """Returns signature -> `inputs`, `outputs` -> name -> `dtype`, `shape`."""
        return self._ask("GET", "/metadata", signatures_of)

    def status(self) -> list[VersionStatus]:
        """Returns the state of each version on the server, the newest first."""
        return sorted(self._ask("GET", "", statuses_of), reverse=True)

    def close(self) -> None:
        """Closes the connections of all threads."""
        self._is_closed = True
        while self._sessions:
            self._sessions.pop().close()

    def _predict(self, inputs: Mapping[str, np.ndarray], signature: str) -> object:
        body = {
            "signature_name": signature,
            "inputs": {name: to_json(values) for name, values in inputs.items()},
        }
        return self._ask("POST", ":predict", lambda c: c["outputs"], body)

    def _decoded(self, outputs: object, specs: Mapping) -> dict[str, np.ndarray]:
        return from_json(outputs, specs)

    def _ask(
        self,
        method: str,
        path: str,
        read: Callable[[dict], Content],
        body: dict | None = None,
    ) -> Content:
        # Not as `json=`: requests refuses NaN and infinity, which the server reads.
        data = None if body is None else json.dumps(body).encode()

        def attempt(left: float) -> Content:
            session = self._sessions.pop() if self._sessions else self._new_session()
            try:
                response = session.ask(
                    method, self._address + path, data=data, left=left
                )
            except TimeoutError as error:
                raise DeadlineExceeded(
                    f"{self._address} did not answer in {self._retries.timeout} s."
                ) from error
            finally:
                self._give_back(session)
            status = response.status
            words, content = response.body.decode("utf-8", "replace")[:500], None
            with contextlib.suppress(ValueError, RecursionError):
                content = json.loads(response.body)  # else a proxy's page
            if isinstance(content, dict) and "error" in content:
                words = content["error"]
            elif status == 200 and isinstance(content, dict):
                return self._read(read, content, f" Got {words}")
            if 300 <= status < 400:
                raise ServerError(
                    f"{self._address}: {status}, a redirect to "
                    f"{_host_of(response.headers.get('Location', ''))!r}, which is not "
                    "followed. Give the `address` of the server itself."
                )
            message = f"{self._address}: {status} {words}"
            if status in _UNAVAILABLE:
                raise Unavailable(message, retry_after=response.retry_after())
            raise _ERRORS.get(status, ServerError)(message)

        return self._retries.call(attempt)

    def _give_back(self, session: object) -> None:
        self._sessions.append(session)
        if self._is_closed:
            self.close()


def _check_headers(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        parts = (name, value)
        if not all(isinstance(p, str) and p.isprintable() for p in parts) or not (
            f"{name}{value}".isascii() and name and value == value.strip()
        ):
            # The value may be a secret.
            raise ValueError(
                f"`headers[{name!r}]` must be one line of ASCII text without space at "
                "its ends."
            )


def _host_of(location: str) -> str:
    """Returns scheme and host of a redirect, without parts that may be secret."""
    try:
        parts = urllib.parse.urlsplit(location)
    except ValueError:
        return "an address that cannot be read"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else ""


def to_json(values: np.ndarray) -> object:
    """Converts an array to nested lists; bytes that are no UTF-8 to `{"b64": ...}`."""
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
    """Converts the outputs of an answer to arrays.

    Args:
      outputs: value of `outputs` in the answer.
      specs: output name -> `dtype` and `shape` in the metadata.

    Raises:
      InvalidRequest: the outputs are not those of the metadata.
    """
    if len(specs) == 1:  # a single output comes without its name
        outputs = {next(iter(specs)): outputs}
    elif not isinstance(outputs, dict):
        raise InvalidRequest(f"There must be {sorted(specs)}. Got one without a name.")
    texts = [
        name for name in outputs.keys() & specs if specs[name]["dtype"] == "string"
    ]
    try:
        texts = {name: from_base64(outputs[name]) for name in texts}
    except RecursionError as error:
        raise InvalidRequest("The lists of an output are nested too deep.") from error
    return to_arrays({**outputs, **texts}, specs)


def signatures_of(content: Mapping) -> dict[str, dict]:
    """Extracts signature -> `inputs` and `outputs` -> name -> `dtype` and `shape`.

    Raises:
      AttributeError, KeyError, TypeError, ValueError: the content is no metadata.
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
    """Extracts the state of each version.

    Raises:
      AttributeError, KeyError, TypeError, ValueError: the content is no status.
    """
    return [
        VersionStatus(
            int(entry["version"]),
            str(entry["state"]),
            str(entry.get("status", {}).get("error_message", "")),
        )
        for entry in content["model_version_status"]
    ]


def from_base64(value: object) -> object:
    """Replaces `{"b64": ...}` in nested lists by bytes.

    Args:
      value: a list, or a value of a request or an answer.

    Raises:
      InvalidRequest: the text is no base64.
    """
    if isinstance(value, list):
        return [from_base64(entry) for entry in value]
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
