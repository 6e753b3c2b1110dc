"""TensorFlow Serving's HTTP."""

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
        auth: object | None = None,
        headers: Mapping[str, str] | None = None,
        max_answer_bytes: int = 2**28,
    ) -> None:
        """Initializes the client; the server is first asked by a call.

        Redirects are errors: requests go to the server of the address and nowhere else.

        Args:
          address: `http://host:8501`, or `https`.
          model: Name of the model in the server's configuration.
          version: Number of the version; the newest where None.
          label: A label of the server's configuration, in place of a number.
          timeout: Seconds for a call with all of its attempts, from the connection to
            the last byte. Only looking up the name of a host may take longer.
          retries: Further attempts where the server is unavailable, and only there.
          backoff: Seconds before the second attempt, twice as long before each other,
            and on top of what the server asks for with `Retry-After`.
          auth: User and password, or what `requests` takes as `auth`. No message shows
            them.
          headers: Name -> value, sent with every request: a bearer token, for example.
          max_answer_bytes: How large an answer may be, uncompressed.

        Raises:
          ImportError: `requests` is not installed.
          ValueError: an address without `http://` or `https://`, or that no server can
            have (which is an `InvalidRequest` too), a version and a label, a header
            that is not one line, or numbers that make no sense.
        """
        try:
            import requests  # noqa: F401  of what is imported next
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
        if isinstance(auth, tuple):  # HTTP's own encoding lacks most letters
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
        self._sessions = []  # those that no thread uses now
        self._is_closed = False

    def metadata(self) -> dict[str, dict]:
        """Signature -> `inputs` and `outputs` -> name -> `dtype` and `shape`."""
        return self._ask("GET", "/metadata", signatures_of)

    def status(self) -> list[VersionStatus]:
        """What the server says about the versions, the newest first."""
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
                content = json.loads(response.body)  # or a proxy's page, or nothing
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
    """Where a redirect leads, without what may be secret in it."""
    try:
        parts = urllib.parse.urlsplit(location)
    except ValueError:
        return "an address that cannot be read"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else ""


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
    return to_arrays({**outputs, **{n: _from_base64(outputs[n]) for n in texts}}, specs)


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
