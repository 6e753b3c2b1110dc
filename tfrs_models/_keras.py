"""Binds `tf.keras` to Keras 2 before anything in the package touches it."""

import os

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


def _restore(value: object) -> object:
    if isinstance(value, dict) and {"class_name", "config"} <= value.keys():
        return tf.keras.utils.deserialize_keras_object(value)
    if isinstance(value, (list, tuple)):
        return [_restore(element) for element in value]
    return value
