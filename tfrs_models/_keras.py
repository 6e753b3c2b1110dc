"""Binds `tf.keras` to Keras 2 before anything in the package touches it."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import tensorflow as tf

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")


_version = getattr(tf.keras, "__version__", "2")  # Keras 2 does not say
if not _version.startswith("2"):
    raise ImportError(
        "tfrs_models needs `tf.keras` to be Keras 2 (package `tf_keras`), but it is "
        f"already bound to Keras {_version}. Put "
        '`import os; os.environ["TF_USE_LEGACY_KERAS"] = "1"` before the first use of '
        "`tf.keras` (or `import tfrs_models` first) and restart the process."
    )

register = tf.keras.utils.register_keras_serializable(package="tfrs_models")


class FromConfig:
    """Restores constructor arguments that are Keras objects from their configs.

    A class that mixes this in puts `tf.keras.utils.serialize_keras_object(value)`
    into `get_config` for every argument that is a layer, and gets it back as a layer.
    """

    @classmethod
    def from_config(cls, config: dict) -> "FromConfig":
        return cls(**{name: _restore(value) for name, value in config.items()})


class Unsaved:
    """A metric of ours that upstream's models lack: no part of a file of weights."""

    def save_own_variables(self, store: dict) -> None:
        """Writes nothing."""

    def load_own_variables(self, store: dict) -> None:
        """Reads nothing, whatever an older file holds."""


@register
class UnsavedMean(Unsaved, tf.keras.metrics.Mean):
    """A mean that is reported after what upstream reports."""


@register
class UnsavedSum(Unsaved, tf.keras.metrics.Sum):
    """A sum that is reported after what upstream reports."""


@contextlib.contextmanager
def one_call(layer: tf.keras.layers.Layer) -> Iterator[None]:
    """To Keras, what runs inside is one call of a layer.

    Keras forgets what the last call of a layer cost (activity regularisers, `add_loss`)
    when it is called again outside of any other call; inside of one, costs add up.

    Args:
      layer: the model whose step it is; what its layers cost before is forgotten.
    """
    keras = sys.modules[tf.keras.layers.Layer.__module__]
    context = keras.base_layer_utils.call_context()
    if not context.in_call:
        layer._clear_losses()
    in_graph = not tf.executing_eagerly()
    with context.enter(layer=layer, inputs=None, build_graph=in_graph):
        yield


def _restore(value: object) -> object:
    if isinstance(value, dict) and {"class_name", "config"} <= value.keys():
        return tf.keras.utils.deserialize_keras_object(value)
    if isinstance(value, (list, tuple)):
        return [_restore(element) for element in value]
    return value


def drawing_orders(
    batches: object, steps_per_epoch: int | None
) -> Callable[[int], None]:
    """A function that draws the orders of some epochs, without training on them.

    A shuffled dataset draws an order whenever it is iterated. Keras's
    `BackupAndRestore` goes on with the epoch that it saved, and would give it the order
    of the first one.

    Args:
      batches: what is trained on; anything but a dataset draws nothing.
      steps_per_epoch: as of `fit`: with it, epochs are parts of one iteration.
    """

    def draw(number: int) -> None:
        if isinstance(batches, tf.data.Dataset) and steps_per_epoch is None:
            for _ in range(number):
                next(iter(batches), None)

    return draw


class EpochOrders:
    """A model whose epochs have their orders where `BackupAndRestore` skips some.

    `fit` sets `_draw_orders`, of what it trains on.
    """

    def _maybe_load_initial_counters_from_ckpt(self, *args: int) -> tuple[int, int]:
        epoch, step = super()._maybe_load_initial_counters_from_ckpt(*args)
        self._draw_orders(epoch - args[1])
        return epoch, step


class EvaluationWithoutXla:
    """A part of `Model`: `jit_compile` is of training alone."""

    def make_test_function(self, force: bool = False) -> Callable:
        """As Keras's, without XLA, which cannot compile metrics over a corpus.

        Args:
          force: whether to make another one.
        """
        if self.test_function is None or force:
            step = super().make_test_function(force)

            def without_xla(iterator: Iterator) -> dict[str, tf.Tensor]:
                # Keras looks as it traces.
                jit_compile, self._jit_compile = self._jit_compile, False
                try:
                    return step(iterator)
                finally:
                    self._jit_compile = jit_compile

            self.test_function = without_xla if self._jit_compile else step
        return self.test_function


_LOSSES = ("_loss_mean", "_penalty_mean", "_total_mean")


class UpstreamsOrder:
    """A model whose metrics and weights are listed as upstream lists them."""

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if isinstance(value, Unsaved):  # Keras takes metrics of models for weights
            self._self_tracked_trackables.remove(value)
        if name == "nan_features":  # what was traced has the old ones
            self.train_function = self.test_function = None

    @property
    def weights(self) -> list[tf.Variable]:
        """The variables of the model; none of what only its metrics retrieve with."""
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

        Those of layers come first, as in upstream's models, then the losses, and then
        what only our models have.
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


def describe(features: object) -> dict[str, list]:
    """Shape without the batch, dtype and kind of each feature of a mapping.

    Args:
      features: A batch. What is no tensor is left out.

    Returns:
      Name -> shape and dtype of a dense feature; "sparse" after them where it is so,
      or "ragged", its ragged rank and the dtype of its row splits.
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
    """A feature of an unknown number of rows, none, as `describe` says it.

    To be called in a graph.
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
