"""Binds `tf.keras` to Keras 2 before anything in the package touches it."""

import contextlib
import os
import sys
from collections.abc import Iterator

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import tensorflow as tf

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
