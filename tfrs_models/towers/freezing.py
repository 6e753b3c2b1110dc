"""Freezing of the first layers of a tower."""

import tensorflow as tf

from tfrs_models.layers.embedding.hashed import HashedEmbedding
from tfrs_models.layers.mlp import MLP

_TABLES = (tf.keras.layers.Embedding, HashedEmbedding)
_CONTAINERS = (tf.keras.Model, MLP)


def freeze_first_layers(tower: tf.keras.layers.Layer, k: int) -> None:
    """Stops a tower's embeddings and its first `k` layers from learning.

    It must be called after the tower has its weights and before the first training
    step, which fixes the trained variables. Frozen layers cannot be unfrozen; make the
    tower anew instead.

    Args:
      tower: tower with its weights. A layer that wraps a tower (such as
        `FeatureLookup`), a `tf.keras.Model` and a `layers.MLP` count by their inner
        layers; any other layer counts as one.
      k: number of layers after the embeddings; 0 freezes nothing, not even embeddings.

    Raises:
      ValueError: the tower has no weights yet, or at most `k` layers after its
        embeddings.

    Example:
      >>> user = tm.data.Feature("user_id", "id", num_values=9)
      >>> tower = tm.towers.FeatureTower([user], 4, hidden_units=[8])
      >>> _ = tower({"user_id": np.array([1, 2])})  # makes the weights
      >>> tm.towers.freeze_first_layers(tower, 1)
      >>> [weight.shape for weight in tower.trainable_weights]  # the last layer
      [TensorShape([8, 4]), TensorShape([4])]
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
    # A layer's own tables cannot be frozen by `trainable` without its inner layers. In
    # front of the other frozen weights they keep their positions in a file.
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
    """Finds the layer that owns the tables, and the layers with weights, in order."""
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
