"""A client of TensorFlow Serving's gRPC port."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np
import tensorflow as tf

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

_MOST_ELEMENTS = 2**28  # a message of a few bytes can declare any shape for one value
_ERRORS = {
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "FAILED_PRECONDITION": InvalidRequest,
    "INVALID_ARGUMENT": InvalidRequest,
    "NOT_FOUND": NotFound,
    "OUT_OF_RANGE": InvalidRequest,
    "RESOURCE_EXHAUSTED": Unavailable,
    "UNAVAILABLE": Unavailable,
}
_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # `RetryPolicy` decides when to retry; by itself the channel waits a second or more.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
]


class GrpcClient(ModelClient):
    """Predicts with a model of TensorFlow Serving over gRPC, from arrays to arrays.

    Threads may share a client. Close it after use, or use it in a `with`.

    Example:
      >>> with tm.serving.client.GrpcClient(
      ...     "localhost:9", model="retrieval", timeout=0.5, retries=0
      ... ) as client:
      ...     try:
      ...         client.predict({"query": [[0.1, 0.2]], "k": [10]})
      ...     except tm.serving.client.ServingError as error:
      ...         print(type(error).__name__)
      Unavailable
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
        credentials: object | None = None,
    ) -> None:
        """Initializes the client without connecting to the server.

        Args:
          address: host and port of the server, `host:8500`.
          model: name of the model in the server's configuration.
          version: number of the version; None for the newest one.
          label: label of a version in the server's configuration, instead of a number.
          timeout: seconds for a call with all of its attempts.
          retries: attempts after the first one, made only if the server is unavailable.
          backoff: seconds before the second attempt; doubled before each later one.
          credentials: result of `grpc.ssl_channel_credentials`; None for no encryption.

        Raises:
          ImportError: `tensorflow-serving-api` is not installed.
          ValueError: the address is one of HTTP (an `InvalidAddress`), both a version
            and a label are given, or a number is out of range.
        """
        try:
            import grpc
            from tensorflow_serving.apis import (
                model_service_pb2_grpc,
                prediction_service_pb2_grpc,
            )
        except ImportError as error:
            raise ImportError(
                "GrpcClient needs the package `tensorflow-serving-api`: "
                "pip install 'tfrs-models[serving]'."
            ) from error
        if not address or address.lower().startswith(("http://", "https://")):
            place = address.rpartition("@")[2].rpartition("//")[2].rstrip("/")
            raise InvalidAddress(
                "`address` must be a host and a port, without http://. Write "
                f"{place or 'host:8500'!r}."
            )
        self._grpc = grpc
        super().__init__(
            address,
            ModelAddress(model=model, version=version, label=label),
            RetryPolicy(timeout=timeout, retries=retries, backoff=backoff),
        )
        if credentials is None:
            self._channel = grpc.insecure_channel(address, options=_OPTIONS)
        else:
            self._channel = grpc.secure_channel(address, credentials, options=_OPTIONS)
        self._predictions = prediction_service_pb2_grpc.PredictionServiceStub(
            self._channel
        )
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def metadata(self) -> dict[str, dict]:
        """Returns signature -> `inputs`, `outputs` -> name -> `dtype`, `shape`."""
        from tensorflow_serving.apis import get_model_metadata_pb2

        request = get_model_metadata_pb2.GetModelMetadataRequest(
            metadata_field=["signature_def"]
        )
        self._model.fill(request.model_spec)

        def read(answer: object) -> dict[str, dict]:
            found = get_model_metadata_pb2.SignatureDefMap()
            if not answer.metadata["signature_def"].Unpack(found):
                raise ValueError("there is no `signature_def`")
            return {
                name: {"inputs": _specs(entry.inputs), "outputs": _specs(entry.outputs)}
                for name, entry in found.signature_def.items()
                if not name.startswith("__saved_model")
            }

        return self._ask(self._predictions.GetModelMetadata, request, read)

    def status(self) -> list[VersionStatus]:
        """Returns the state of each version on the server, the newest first."""
        from tensorflow_serving.apis import get_model_status_pb2

        request = get_model_status_pb2.GetModelStatusRequest()
        self._model.fill(request.model_spec)
        states = get_model_status_pb2.ModelVersionStatus.State

        def read(answer: object) -> list[VersionStatus]:
            return [
                VersionStatus(v.version, states.Name(v.state), v.status.error_message)
                for v in answer.model_version_status
            ]

        return sorted(
            self._ask(self._models.GetModelStatus, request, read), reverse=True
        )

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()

    def _predict(
        self, inputs: Mapping[str, np.ndarray], signature: str
    ) -> dict[str, np.ndarray]:
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        self._model.fill(request.model_spec)
        request.model_spec.signature_name = signature
        for name, values in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
        return self._ask(self._predictions.Predict, request, _outputs)

    def _decoded(
        self,
        outputs: dict[str, np.ndarray],
        specs: Mapping,  # noqa: ARG002  the tensors have dtypes and shapes
    ) -> dict[str, np.ndarray]:
        return outputs

    def _ask(
        self, method: Callable, request: object, read: Callable[[object], Content]
    ) -> Content:
        def attempt(left: float) -> object:
            try:
                return method(request, timeout=left)
            except self._grpc.RpcError as error:
                kind = _ERRORS.get(error.code().name, ServerError)
                raise kind(
                    f"{self._address}: {error.code().name} {error.details()}"
                ) from error

        return self._read(read, self._retries.call(attempt))


def _outputs(answer: object) -> dict[str, np.ndarray]:
    return {name: _array(name, tensor) for name, tensor in answer.outputs.items()}


def _array(name: str, tensor: object) -> np.ndarray:
    number = tf.TensorShape(tensor.tensor_shape).num_elements()
    if number is None or number > _MOST_ELEMENTS:
        raise ValueError(f"the output `{name}` has {number or 'no number of'} elements")
    try:
        return tf.make_ndarray(tensor)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the output `{name}` is no tensor: {error}") from error


def _specs(tensors: Mapping) -> dict[str, dict]:
    return {
        name: {"dtype": tf.as_dtype(info.dtype).name, "shape": _sizes(info)}
        for name, info in tensors.items()
    }


def _sizes(info: object) -> list[int | None] | None:
    if info.tensor_shape.unknown_rank:
        return None
    return [None if dim.size < 0 else dim.size for dim in info.tensor_shape.dim]
