"""Two towers that have layers in common, and still have them after a file."""

from collections.abc import Iterator

import tensorflow as tf

from tfrs_models._keras import FromConfig

Path = list[str]


class SharedLayers(FromConfig):
    """Restores a `query_tower` and an `item_tower`, and what they share.

    Each of the two is a config of its own, of which Keras would make layers of its own:
    a query tower that embeds its history with the item tower would come back with
    another one. `shared_layers` in the config says which attributes are one layer.
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
    """Where the same layers are in both towers.

    Args:
      query_tower: A layer.
      item_tower: Another one, or the same.

    Returns:
      Pairs of paths, names of attributes from the tower; none for what is in a layer
      that is shared itself, and none where the towers are one.
    """
    if query_tower is item_tower:
        return []
    places = {id(layer): path for path, layer in _walk(query_tower, [])}
    found = []
    for path, layer in _walk(item_tower, []):
        inside = any(path[: len(of_item)] == of_item for _, of_item in found)
        if id(layer) in places and not inside:
            found.append([places[id(layer)], path])
    return found


def _walk(
    layer: tf.keras.layers.Layer, path: Path
) -> Iterator[tuple[Path, tf.keras.layers.Layer]]:
    """A layer and those in its public attributes, outer ones first."""
    yield path, layer
    for name, value in vars(layer).items():
        if isinstance(value, tf.keras.layers.Layer) and not name.startswith("_"):
            yield from _walk(value, [*path, name])


def _at(layer: tf.keras.layers.Layer, path: Path) -> tf.keras.layers.Layer:
    for name in path:
        layer = getattr(layer, name)
    return layer
