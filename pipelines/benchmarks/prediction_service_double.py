"""A test double for the protocol of TensorFlow Serving. It is not TensorFlow Serving.

It serves the generated gRPC stubs of `PredictionService` and `ModelService` with the
signatures of a SavedModel, run by TensorFlow in this Python process: enough to test a
client, and to measure the cost of gRPC. It has no batching, no version policy, and the
latency of a Python server.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from pathlib import Path

import grpc
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tfrs_models.serving.versions import version_folders


class RefusedError(Exception):
    """A request that the server answers with a gRPC status."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        """Initializes the error.

        Args:
          code: gRPC status code of the answer.
          details: message of the answer.
        """
        super().__init__(details)
        self.code = code


class PredictionServiceDouble(
    prediction_service_pb2_grpc.PredictionServiceServicer,
    model_service_pb2_grpc.ModelServiceServicer,
):
    """Serves all complete versions of one model."""

    def __init__(
        self, name: str, directory: Path, *, labels: Mapping[str, int] | None = None
    ) -> None:
        """Initializes the service.

        Args:
          name: name of the model in requests.
          directory: folder of its versions.
          labels: label -> version.
        """
        self._name = name
        self._labels = dict(labels or {})
        self._models, self._signatures = {}, {}
        for version, folder in version_folders(directory).items():
            self._models[version] = tf.saved_model.load(str(folder))
            saved = saved_model_pb2.SavedModel.FromString(
                (folder / "saved_model.pb").read_bytes()
            )
            self._signatures[version] = dict(saved.meta_graphs[0].signature_def)

    def Predict(  # noqa: N802  the stub's name
        self, request: predict_pb2.PredictRequest, context: grpc.ServicerContext
    ) -> predict_pb2.PredictResponse:
        return _answer(context, lambda: self._predict(request))

    def GetModelMetadata(  # noqa: N802
        self,
        request: get_model_metadata_pb2.GetModelMetadataRequest,
        context: grpc.ServicerContext,
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        return _answer(context, lambda: self._metadata(request))

    def GetModelStatus(  # noqa: N802
        self,
        request: get_model_status_pb2.GetModelStatusRequest,
        context: grpc.ServicerContext,
    ) -> get_model_status_pb2.GetModelStatusResponse:
        return _answer(context, lambda: self._status(request))

    def _predict(self, request: object) -> predict_pb2.PredictResponse:
        version = self._version(request.model_spec)
        signatures = self._models[version].signatures
        name = request.model_spec.signature_name or "serving_default"
        if name not in signatures:
            raise RefusedError(
                grpc.StatusCode.FAILED_PRECONDITION,
                f'Serving signature key "{name}" not found.',
            )
        function = signatures[name]
        specs = function.structured_input_signature[1]
        if specs.keys() != set(request.inputs):
            raise RefusedError(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"input keys {sorted(request.inputs)} are not {sorted(specs)}",
            )
        inputs = {}
        for key, spec in specs.items():
            inputs[key] = tf.constant(tf.make_ndarray(request.inputs[key]))
            if not spec.is_compatible_with(inputs[key]):
                raise RefusedError(
                    grpc.StatusCode.INVALID_ARGUMENT, f"input {key} must be {spec}"
                )
        try:
            answer = function(**inputs)
        except tf.errors.InvalidArgumentError as error:
            raise RefusedError(
                grpc.StatusCode.INVALID_ARGUMENT, error.message
            ) from error
        response = predict_pb2.PredictResponse()
        response.model_spec.CopyFrom(request.model_spec)
        response.model_spec.version.value = version
        for key, values in answer.items():
            response.outputs[key].CopyFrom(tf.make_tensor_proto(values))
        return response

    def _metadata(
        self, request: object
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        version = self._version(request.model_spec)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.version.value = version
        found = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in self._signatures[version].items():
            found.signature_def[name].CopyFrom(signature)
        response.metadata["signature_def"].Pack(found)
        return response

    def _status(self, request: object) -> get_model_status_pb2.GetModelStatusResponse:
        spec = request.model_spec
        named = spec.WhichOneof("version_choice")
        versions = [self._version(spec)] if named else sorted(self._models)
        response = get_model_status_pb2.GetModelStatusResponse()
        for version in versions:
            response.model_version_status.add(
                version=version,
                state=get_model_status_pb2.ModelVersionStatus.AVAILABLE,
            )
        return response

    def _version(self, spec: object) -> int:
        choice = spec.WhichOneof("version_choice")
        version = max(self._models, default=None)
        if choice == "version":
            version = spec.version.value
        elif choice == "version_label":
            version = self._labels.get(spec.version_label)
        if spec.name != self._name or version not in self._models:
            raise RefusedError(
                grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {spec}"
            )
        return version


@contextlib.contextmanager
def serve(
    name: str,
    directory: Path,
    *,
    labels: Mapping[str, int] | None = None,
    threads: int = 4,
    port: int = 0,
) -> Iterator[str]:
    """Serves the versions of a folder until the block ends.

    Args:
      name: name of the model in requests.
      directory: folder of its versions.
      labels: label -> version.
      threads: number of requests that are answered at once.
      port: port to listen on; 0 for a free one.

    Yields:
      The address, `localhost:port`.
    """
    pool = futures.ThreadPoolExecutor(threads)
    server = grpc.server(pool, options=[("grpc.so_reuseport", 0)])
    double = PredictionServiceDouble(name, directory, labels=labels)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(double, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(double, server)
    bound = server.add_insecure_port(f"localhost:{port}")
    server.start()
    try:
        yield f"localhost:{bound}"
    finally:
        server.stop(grace=None).wait()
        pool.shutdown()


def _answer(context: grpc.ServicerContext, make: Callable[[], object]) -> object:
    try:
        return make()
    except RefusedError as error:
        context.abort(error.code, str(error))
