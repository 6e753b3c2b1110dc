"""Requests that a server answers before it takes the first of a client."""

import importlib.util
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

PLACE = Path("assets.extra", "tf_serving_warmup_requests")


def can_write_warm_up() -> bool:
    """Whether the package that has the format is installed."""
    return importlib.util.find_spec("tensorflow_serving") is not None


def write_warm_up(
    directory: Path, requests: Mapping[str, Iterable[Mapping[str, np.ndarray]]]
) -> None:
    """Writes requests where TensorFlow Serving looks for them when it loads a version.

    Without them the first clients wait until the graph is optimised.

    Args:
      directory: Of the version.
      requests: Signature -> requests, at most 1,000 of which the server takes.

    Raises:
      ImportError: `tensorflow-serving-api` is not installed.
    """
    try:
        from tensorflow_serving.apis import predict_pb2, prediction_log_pb2
    except ImportError as error:
        raise ImportError(
            "Warm-up requests need the package `tensorflow-serving-api`: "
            "pip install 'tfrs-models[serving]'."
        ) from error
    (directory / PLACE).parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(directory / PLACE)) as writer:
        for name, batches in requests.items():
            for batch in batches:
                request = predict_pb2.PredictRequest()
                request.model_spec.signature_name = name
                for feature, values in batch.items():
                    request.inputs[feature].CopyFrom(tf.make_tensor_proto(values))
                log = prediction_log_pb2.PredictionLog(
                    predict_log=prediction_log_pb2.PredictLog(request=request)
                )
                writer.write(log.SerializeToString())
