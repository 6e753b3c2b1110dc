"""Saving two towers that share layers, so that they still share them once loaded."""

from collections.abc import Iterator

import tensorflow as tf

from tfrs_models._keras import FromConfig

Path = list[str]


class SharedLayers(FromConfig):
    """A mixin that restores `query_tower` and `item_tower` with their shared layers.

    Keras restores each tower from a separate config and would make separate layers: a
    query tower that embeds its history with the item tower would get another one.
    `shared_layers` in the config lists which attributes are one layer.
    """

    @classmethod
    def from_config(cls, config: dict) -> "SharedLayers":
        config = dict(config)
        shared = config.pop("shared_layers", [])
        restored = super().from_config(config)
        for of_query, of_item in shared:
            layer = _at(restored.query_tower, of_query)
            if of_item:
                setattr(_at(restored.item_tower, of_item[:-1]), of_item[-1], layer)
            else:
                restored.item_tower = layer
        return restored


def shared_layers(
    query_tower: tf.keras.layers.Layer, item_tower: tf.keras.layers.Layer
) -> list[list[Path]]:
    """Finds the layers that are in both towers.

    Args:
      query_tower: layer that embeds queries.
      item_tower: layer that embeds items, which may be the same layer.

    Returns:
      Pairs of paths, one in each tower; a path is a list of names of attributes. Layers
      inside a shared layer are not listed, and the list is empty if the towers are the
      same layer.
    """
    if query_tower is item_tower:
        return []
    paths = {id(layer): path for path, layer in _walk(query_tower, [])}
    found = []
    for path, layer in _walk(item_tower, []):
        inside = any(path[: len(of_item)] == of_item for _, of_item in found)
        if id(layer) in paths and not inside:
            found.append([paths[id(layer)], path])
    return found


def _walk(
    layer: tf.keras.layers.Layer, path: Path
) -> Iterator[tuple[Path, tf.keras.layers.Layer]]:
    """Yields a layer and the layers in its public attributes, outer ones first."""
    yield path, layer
    for name, value in vars(layer).items():
        if isinstance(value, tf.keras.layers.Layer) and not name.startswith("_"):
            yield from _walk(value, [*path, name])


def _at(layer: tf.keras.layers.Layer, path: Path) -> tf.keras.layers.Layer:
    for name in path:
        layer = getattr(layer, name)
    return layer
