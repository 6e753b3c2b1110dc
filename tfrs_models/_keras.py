"""Binds `tf.keras` to Keras 2 first of all, and works around what Keras 2 lacks.

Every part that needs Keras imports this module before anything else.
"""

import contextlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata

import numpy as np
import tensorflow as tf
from packaging.requirements import Requirement
from packaging.version import Version

from tfrs_models import _autograph  # noqa: F401  before anything is traced


def check_built_for(tensorflow: str) -> None:
    """Checks that the packages that go with one TensorFlow only go with this one.

    Their own metadata names that TensorFlow.

    Args:
      tensorflow: version of TensorFlow that is installed.

    Raises:
      ImportError: `tf_keras` is missing, or it or ScaNN is one of another TensorFlow.
    """
    release = Version(tensorflow).base_version  # a release candidate is as good
    minor = ".".join(release.split(".")[:2])
    if importlib.util.find_spec("tf_keras") is None:
        raise ImportError(
            "tfrs_models needs Keras 2, the package `tf_keras`, which is not "
            f"installed. For TensorFlow {tensorflow} run "
            f"`pip install 'tf_keras=={minor}.*'` and restart the process."
        )
    cures = {
        "tf_keras": f"Run `pip install 'tf_keras=={minor}.*'`",
        "scann": (
            "Run `pip uninstall scann`, without which everything but `layers.ScaNN` "
            "works, or install the TensorFlow that it was built for, with its tf_keras,"
        ),
    }
    for package, cure in cures.items():
        try:
            requirements = map(Requirement, metadata.requires(package) or ())
            found = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
        for wanted in requirements:
            if wanted.name == "tensorflow" and not wanted.specifier.contains(release):
                raise ImportError(
                    f"{package} {found} goes with TensorFlow {wanted.specifier} only, "
                    f"and TensorFlow {tensorflow} is installed. {cure} and restart the "
                    "process."
                )


check_built_for(tf.__version__)
_version = getattr(tf.keras, "__version__", "2")  # Keras 2 has no such attribute
if not _version.startswith("2"):
    raise ImportError(
        "tfrs_models needs `tf.keras` to be Keras 2 (package `tf_keras`), but it is "
        f"already bound to Keras {_version}. Put "
        '`import os; os.environ["TF_USE_LEGACY_KERAS"] = "1"` before the first use of '
        "`tf.keras` (or `import tfrs_models` first) and restart the process."
    )

register = tf.keras.utils.register_keras_serializable(package="tfrs_models")


@contextlib.contextmanager
def layers_without_functions() -> Iterator[None]:
    """Saves Keras layers in a SavedModel without a graph of every layer's call.

    `tf.keras.Model.save` has the argument `save_traces` for it; `tf.saved_model.save`
    has none.
    """
    from tf_keras.src.saving.legacy.saved_model.utils import keras_option_scope

    with keras_option_scope(save_traces=False, in_tf_saved_model_scope=False):
        yield


@contextlib.contextmanager
def traced_for_saving() -> Iterator[None]:
    """Traces functions as `tf.saved_model.save` does, which finds them traced then.

    What was traced outside of it is traced a second time: TensorFlow keeps the graphs
    of saved models apart.
    """
    from tensorflow.python.saved_model.save_context import save_context

    with save_context(tf.saved_model.SaveOptions()):
        yield


class FromConfig:
    """Restores constructor arguments that are Keras objects from their configs.

    A class that mixes this in puts `tf.keras.utils.serialize_keras_object(value)`
    into `get_config` for every argument that is a layer, and gets it back as a layer.
    """

    @classmethod
    def from_config(cls, config: dict) -> "FromConfig":
        return cls(**{name: _restore(value) for name, value in config.items()})


def _restore(value: object) -> object:
    if isinstance(value, dict) and {"class_name", "config"} <= value.keys():
        return tf.keras.utils.deserialize_keras_object(value)
    if isinstance(value, (list, tuple)):
        return [_restore(element) for element in value]
    return value


class Unsaved:
    """A metric that TFRS's models lack, and that is not saved among the weights."""

    def save_own_variables(self, store: dict) -> None:
        """Writes nothing.

        Args:
          store: variables of the file, by name.
        """

    def load_own_variables(self, store: dict) -> None:
        """Reads nothing, also from an older file that has values.

        Args:
          store: variables of the file, by name.
        """


@register
class UnsavedMean(Unsaved, tf.keras.metrics.Mean):
    """A mean that is reported after the metrics of TFRS's models."""


@register
class UnsavedSum(Unsaved, tf.keras.metrics.Sum):
    """A sum that is reported after the metrics of TFRS's models."""


@contextlib.contextmanager
def one_call(layer: tf.keras.layers.Layer) -> Iterator[None]:
    """Makes Keras treat all calls inside of the context as one call of a layer.

    Keras forgets the penalties of a layer's last call (activity regularisers,
    `add_loss`) when the layer is called again outside of any other call; inside of one,
    penalties add up.

    Args:
      layer: model whose step it is; penalties of earlier calls are forgotten.
    """
    keras = sys.modules[tf.keras.layers.Layer.__module__]
    context = keras.base_layer_utils.call_context()
    if not context.in_call:
        layer._clear_losses()
    in_graph = not tf.executing_eagerly()
    with context.enter(layer=layer, inputs=None, build_graph=in_graph):
        yield


_LOSSES = ("_loss_mean", "_penalty_mean", "_total_mean")


class UpstreamsOrder:
    """A model that lists its metrics and weights in the order of TFRS's models."""

    @property
    def weights(self) -> list[tf.Variable]:
        """Variables of the model, without those of the indexes of its metrics."""
        of_metrics = {
            id(weight)
            for layer in self._flatten_layers()
            if getattr(layer, "is_of_metric", False)
            for weight in layer.weights
        }
        return [weight for weight in super().weights if id(weight) not in of_metrics]

    @property
    def metrics(self) -> list[tf.keras.metrics.Metric]:
        """All metrics, in the order in which `evaluate` lists them.

        Metrics of layers come first, as in TFRS's models, then the losses, and then
        the metrics that only models of this package have.
        """
        losses = [getattr(self, name, None) for name in _LOSSES]
        losses = [metric for metric in losses if metric is not None]  # not made yet
        others = super().metrics
        for layer in self._flatten_layers():
            others += getattr(layer, "reported_beside", [])
        of_layers = [metric for metric in others if not isinstance(metric, Unsaved)]
        seen = {id(metric) for metric in [*of_layers, *losses]}
        ours = [metric for metric in others if id(metric) not in seen]
        return [*of_layers, *losses, *ours]


class EvaluationWithoutXla:
    """A model of which `jit_compile` compiles the training step only."""

    def make_test_function(self, force: bool = False) -> Callable:
        """Makes Keras's test function without XLA, which cannot compile all metrics.

        Args:
          force: whether to make another function if there is one.

        Returns:
          The function that evaluates a batch of an iterator.
        """
        if self.test_function is None or force:
            step = super().make_test_function(force)

            def without_xla(iterator: Iterator) -> dict[str, tf.Tensor]:
                # Keras reads the attribute as it traces.
                jit_compile, self._jit_compile = self._jit_compile, False
                try:
                    return step(iterator)
                finally:
                    self._jit_compile = jit_compile

            self.test_function = without_xla if self._jit_compile else step
        return self.test_function


def drawing_orders(
    batches: object, steps_per_epoch: int | None
) -> Callable[[int], None]:
    """Makes a function that draws the orders of some epochs, without training.

    A shuffled dataset draws an order whenever it is iterated. Keras's
    `BackupAndRestore` continues with the epoch that it saved, which without this would
    have the order of the first one.

    Args:
      batches: training data of `fit`; only for a dataset are orders drawn.
      steps_per_epoch: argument of `fit`; with it, epochs are parts of one iteration and
        no order is drawn.

    Returns:
      A function of the number of epochs.
    """

    def draw(number: int) -> None:
        if not is_one_iteration(batches, steps_per_epoch):
            for _ in range(number):
                next(iter(batches), None)

    return draw


def is_one_iteration(batches: object, steps_per_epoch: int | None) -> bool:
    """Tells whether the epochs of `fit` are parts of one iteration of the data.

    Args:
      batches: training data of `fit`.
      steps_per_epoch: argument of `fit`; as many steps as batches are an iteration
        each.
    """
    if not isinstance(batches, tf.data.Dataset):
        return True  # no order is drawn by iterating it
    return steps_per_epoch not in (None, int(batches.cardinality()))


class EpochOrders:
    """A model whose restored epochs have the order of their number.

    `fit` sets `_draw_orders` to the function that `drawing_orders` makes.
    """

    def _maybe_load_initial_counters_from_ckpt(self, *args: int) -> tuple[int, int]:
        epoch, step = super()._maybe_load_initial_counters_from_ckpt(*args)
        # A training that stopped early has had fewer epochs than it goes on with: none.
        done = getattr(self._training_state, "epochs_done", epoch)
        self._draw_orders(done - args[1])
        return epoch, step


def describe(features: object) -> dict[str, list]:
    """Describes the features of a batch by values that a config can hold.

    Args:
      features: batch of features by name; values that are not tensors are left out.

    Returns:
      Name -> shape without the batch and dtype; then, for a sparse feature, "sparse",
      and for a ragged one "ragged", its ragged rank and the dtype of its row splits.
    """
    if not isinstance(features, Mapping):
        return {}
    kinds = (tf.Tensor, np.ndarray, tf.RaggedTensor, tf.SparseTensor)
    return {
        name: _describe(value)
        for name, value in features.items()
        if isinstance(value, kinds) and len(value.shape)
    }


def no_rows(description: list) -> tf.Tensor | tf.RaggedTensor | tf.SparseTensor:
    """Makes a feature without rows, whose number of rows a graph does not know.

    It must be called in a graph.

    Args:
      description: description of a feature, from `describe`.

    Returns:
      A dense, ragged or sparse tensor with 0 rows.
    """
    shape, dtype, *kind = description
    shape = [size or 1 for size in shape]
    if not kind:
        return _nothing(shape, dtype)
    if kind[0] == "sparse":
        rank = len(shape) + 1
        nothing = tf.zeros([0, rank], tf.int64), tf.zeros([0], dtype)
        return tf.SparseTensor(*nothing, tf.constant([0, *shape], tf.int64))
    _, ragged_rank, splits = kind
    values = _nothing(shape[ragged_rank:], dtype)
    for _ in range(ragged_rank):
        start = tf.compat.v1.placeholder_with_default(tf.zeros([1], splits), [None])
        values = tf.RaggedTensor.from_row_splits(values, start)
    return values


def _nothing(shape: list[int], dtype: str) -> tf.Tensor:
    rows = tf.zeros([0, *shape], dtype)
    return tf.compat.v1.placeholder_with_default(rows, [None, *shape])


def _describe(
    value: tf.Tensor | np.ndarray | tf.RaggedTensor | tf.SparseTensor,
) -> list:
    is_text = isinstance(value, np.ndarray) and value.dtype.kind in "OSU"
    dtype = "string" if is_text else tf.as_dtype(value.dtype).name
    description = [list(value.shape[1:]), dtype]
    if isinstance(value, tf.SparseTensor):
        return [*description, "sparse"]
    if isinstance(value, tf.RaggedTensor):
        return [*description, "ragged", value.ragged_rank, value.row_splits.dtype.name]
    return description
