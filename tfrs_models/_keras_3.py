"""Refuses objects of Keras 3 in models, which are of Keras 2."""

from collections.abc import Iterator, Mapping

import tensorflow as tf

_WITH_A_STATE = {
    "BaseOptimizer",
    "Callback",
    "KerasVariable",
    "Layer",
    "Metric",
    "Optimizer",
    "Variable",
}


def refuse_keras_3(owner: str, **values: object) -> None:
    """Refuses a layer, optimizer, metric or callback of Keras 3, wherever it is.

    Keras 2 does not find the weights of such a layer in a list or in another layer, and
    would train without them; where it finds them, its optimizer fails.

    Args:
      owner: what the values belong to, for the message.
      **values: values by name. They, the elements of lists and dicts, and the layers
        that they are made of are looked at.

    Raises:
      TypeError: there is such an object.
    """
    for name, value in values.items():
        for found in _of_keras_3(value, set()):
            kind = type(found)
            raise TypeError(
                f"`{name}` of {owner} must be made of Keras 2. Got "
                f"`{kind.__qualname__}` of Keras 3 (`{kind.__module__}`), of which "
                "Keras 2 would not train the weights. Take the class of that name in "
                "`tf.keras`, which is Keras 2 here. A model of Keras 3 can train on "
                '`losses.sampled_softmax` instead: see the page "Keras 3" of the '
                "documentation."
            )


def _of_keras_3(value: object, seen: set[int]) -> Iterator[object]:
    if id(value) in seen:
        return
    seen.add(id(value))
    if any(
        base.__module__.startswith("keras.") and base.__name__ in _WITH_A_STATE
        for base in type(value).__mro__
    ):
        yield value
    for part in _parts(value):
        yield from _of_keras_3(part, seen)


def _parts(value: object) -> list[object]:
    """Lists what may hold a layer: elements, layers of a layer, values of a module."""
    if isinstance(value, (tf.keras.layers.Layer, tf.keras.metrics.Metric)):
        return list(value._self_tracked_trackables)
    if isinstance(value, Mapping):
        return list(value.values())
    if isinstance(value, (list, tuple)):
        return list(value)
    if isinstance(value, tf.Module):
        return list(vars(value).values())
    return []
