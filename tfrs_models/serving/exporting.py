"""Writes a versioned SavedModel for a server, with a contract and warm-up requests."""

import contextlib
import importlib.util
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfrs_models._keras import layers_without_functions, traced_for_saving
from tfrs_models._versions import local_path, publish, unfinished_version
from tfrs_models.layers.index.table_index import TableIndex
from tfrs_models.serving import contract
from tfrs_models.serving.preflight import check_stock, preflight
from tfrs_models.serving.signatures import Samples, Signature, read_requests
from tfrs_models.serving.versions import remove_old

_WARM_UP = Path("assets.extra", "tf_serving_warmup_requests")


def export(
    module: tf.Module,
    directory: str | os.PathLike,
    *,
    signatures: Mapping[str, Callable] | None = None,
    samples: Samples | None = None,
    keep: int | None = None,
    allow_custom_ops: bool = False,
    about: Mapping[str, object] | None = None,
) -> Path:
    """Writes a module below `directory` as the next version, for a server to load.

    The version appears under its number only when it is complete, on the disk and
    checked: its operations are those of stock TensorFlow, and the SavedModel gives the
    module's answers to the samples. A server that polls the directory never sees a
    partial model, not even of a killed process; the next export removes its files.
    Exports may run at the same time. Updates of the module's indexes wait until the
    export ends. The check loads the model a second time, beside the module.

    A layer of Keras is saved with its variables and without the functions by which
    Keras would restore it: a server calls the signatures only, and the calls of every
    layer would be traced for nothing.

    Besides the SavedModel, the version has `assets.extra/contract.json`, which
    `serving.contract.verify` replays, and `assets.extra/tf_serving_warmup_requests`.

    Args:
      module: module to save.
      directory: local folder of the versions 1, 2, ...; the new one gets the number
        after the largest.
      signatures: name -> method of the module, a `tf.function` with an input signature
        of named specs that returns a dict. None for the module's `signatures`.
      samples: signature -> one request (a dict of inputs) or several, which the server
        warms up with and the contract replays. Give real requests of the sizes that
        clients send. None for the module's `samples`; if it has none, one row of zeros
        and empty strings (1 for a scalar integer such as `k`). `{}` for no samples.
      keep: number of complete versions to keep, including this one; None for all.
      allow_custom_ops: whether the model may need more than a stock server has; the
        contract lists the requirements.
      about: values of JSON that the contract keeps, such as the run that trained the
        model; None for none.

    Returns:
      The path of the version.

    Raises:
      ValueError: a signature has no names, a sample does not fit or is refused, or
        `directory` is an address such as `gs://bucket`.
      CustomOpsError: the model has operations that stock TensorFlow Serving lacks.
      ContractError: the answers of the SavedModel and the module differ.
      ImportError: `samples` are given and `tensorflow-serving-api`, which defines the
        format of warm-up requests, is not installed. Without `samples` no warm-up
        requests are written then.

    Example:
      >>> module = tf.Module()
      >>> module.double = tf.function(
      ...     lambda x: {"y": 2 * x}, autograph=False,
      ...     input_signature=[tf.TensorSpec([None], tf.float32, "x")])
      >>> path = tm.serving.export(module, "models", signatures={"f": module.double})
      >>> loaded = tf.saved_model.load(str(path))
      >>> path.as_posix(), loaded.signatures["f"](x=tf.constant([1.5]))["y"].numpy()
      ('models/1', array([3.], dtype=float32))
    """
    if keep is not None and not (hasattr(keep, "__index__") and keep >= 1):
        raise ValueError(f"`keep` must be at least 1, or None for all. Got {keep!r}.")
    directory = local_path("directory", directory)
    functions = _signatures(module, signatures)
    with traced_for_saving():
        served = {
            name: Signature(name, function) for name, function in functions.items()
        }
    warms_up = samples is not None or can_write_warm_up()
    if samples is None:
        samples = getattr(module, "samples", None)
        if samples is not None:  # of all signatures, of which some are exported
            samples = {name: some for name, some in samples.items() if name in served}
            samples = samples or None
    if samples is None:
        samples = {name: signature.made_up() for name, signature in served.items()}
    requests = read_requests(served, samples)
    with _without_updates(module), unfinished_version(directory) as folder:
        with layers_without_functions():
            tf.saved_model.save(module, str(folder), signatures=functions)
        needs = preflight(folder)
        if not allow_custom_ops:
            check_stock(needs)
        if requests and warms_up:
            write_warm_up(folder, requests)
        contract.write(folder, served, requests, needs, about or {})
        version = publish(folder, directory)
    if keep is not None:
        remove_old(directory, keep=keep, spare=version)
    return version


@contextlib.contextmanager
def _without_updates(module: tf.Module) -> Iterator[None]:
    """Blocks updates of the module's indexes, so that one state of them is saved."""
    parts = [module, *module.submodules]
    indexes = [part for part in parts if isinstance(part, TableIndex)]
    with contextlib.ExitStack() as stack:
        for index in sorted(indexes, key=id):  # so two exports cannot deadlock
            stack.enter_context(index.unchanged())
        yield


def _signatures(
    module: tf.Module, signatures: Mapping[str, Callable] | None
) -> dict[str, Callable]:
    if signatures is None:
        signatures = getattr(module, "signatures", None)
    if not signatures:
        raise ValueError(
            "`signatures` must name what the server answers, or the module must have "
            f"such a property `signatures`. Got none for {type(module).__name__}. Pass "
            "{'serving_default': module.method}."
        )
    return dict(signatures)


def can_write_warm_up() -> bool:
    """Returns whether the package that defines warm-up requests is installed."""
    return importlib.util.find_spec("tensorflow_serving") is not None


def write_warm_up(
    directory: Path, requests: Mapping[str, Iterable[Mapping[str, np.ndarray]]]
) -> None:
    """Writes the requests that TensorFlow Serving replays when it loads a version.

    Without them the first clients wait until the graph is optimised.

    Args:
      directory: folder of the version.
      requests: signature -> requests; the server replays at most 1,000 in all.

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
    (directory / _WARM_UP).parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(directory / _WARM_UP)) as writer:
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
