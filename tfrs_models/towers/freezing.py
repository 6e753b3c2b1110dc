"""Towers of which only the last layers learn."""

import tensorflow as tf

from tfrs_models.layers.embedding.hashed import HashedEmbedding
from tfrs_models.layers.mlp import MLP

_TABLES = (tf.keras.layers.Embedding, HashedEmbedding)
_CONTAINERS = (tf.keras.Model, MLP)


def freeze_first_layers(tower: tf.keras.layers.Layer, k: int) -> None:
    """Stops a tower's embeddings and its first `k` layers from learning.

    Call it after the tower has its weights and before the first training step: what is
    trained is fixed there. To let them learn again make the tower anew.

    Args:
      tower: With its weights. Layers that wrap a tower (`UnitNorm`, `FeatureLookup`)
        are looked into, and so are `tf.keras.Model` and `layers.MLP`; others count as
        one.
      k: How many layers after the embeddings; 0 freezes nothing, also no embeddings.

    Raises:
      ValueError: a tower without weights, or one that has not more than `k` layers
        after its embeddings.
    """
    if k < 0:
        raise ValueError(f"`k` must not be negative. Got {k}.")
    if k == 0:
        return
    inner = tower._flatten_layers(include_self=False)
    if not (tower.weights and all(layer.built for layer in inner)):
        raise ValueError(
            f"`tower` must have its weights before its layers can be frozen: call "
            f"{tower.name!r} on a batch first."
        )
    owner, layers = _blocks(tower)
    tables = [layer for layer in layers if isinstance(layer, _TABLES)]
    layers = [layer for layer in layers if not isinstance(layer, _TABLES)]
    if k >= len(layers):
        raise ValueError(
            f"`k` must be below the number of layers that `tower` has after its "
            f"embeddings, or nothing would learn. Got {k}, and {len(layers)} layers in "
            f"{tower.name!r}."
        )
    # A layer's own tables cannot be frozen by `trainable` without its inner layers. At
    # the front of the others they keep their places in a file.
    while owner._trainable_weights:
        table = owner._trainable_weights.pop()
        for copy in getattr(table, "values", [table]):  # one on each replica
            copy._trainable = False
        owner._non_trainable_weights.insert(0, table)
    for layer in [*tables, *layers[:k]]:
        layer.trainable = False


def _blocks(
    tower: tf.keras.layers.Layer,
) -> tuple[tf.keras.layers.Layer, list[tf.keras.layers.Layer]]:
    """The layer that owns the tables, and the layers with weights in their order."""
    while isinstance(getattr(tower, "tower", None), tf.keras.layers.Layer):
        tower = tower.tower
    return tower, [leaf for layer in _inner(tower) for leaf in _leaves(layer)]


def _inner(layer: tf.keras.layers.Layer) -> list[tf.keras.layers.Layer]:
    found = layer._flatten_layers(recursive=False, include_self=False)
    return [inner for inner in found if inner.weights]


def _leaves(layer: tf.keras.layers.Layer) -> list[tf.keras.layers.Layer]:
    if not isinstance(layer, _CONTAINERS):
        return [layer]
    return [leaf for inner in _inner(layer) for leaf in _leaves(inner)]
