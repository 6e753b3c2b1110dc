"""A tower that looks up the features of ids."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfrs_models._keras import FromConfig, register
from tfrs_models.types import Features, VocabularyRows


@register
class FeatureLookup(FromConfig, tf.keras.layers.Layer):
    """Looks up the features of ids in a table and passes them to a tower.

    A caller that has ids only, such as a tower over histories, then needs no features
    of the items. The table is part of the weights: it is saved, but not trained.

    Example:
      >>> genre = tm.data.Feature("genre", "id", num_values=2)
      >>> table = {"item_id": np.arange(4), "genre": np.array([0, 1, 2, 2])}
      >>> items = tm.towers.FeatureTower([genre], embedding_dim=3)
      >>> found = tm.towers.FeatureLookup(items, table)({"item_id": np.array([2, 3])})
      >>> bool(np.array_equal(found[0], found[1]))  # the same genre
      True
    """

    def __init__(
        self,
        tower: tf.keras.layers.Layer,
        table: Mapping[str, np.ndarray | Mapping],
        *,
        feature: str = "item_id",
        **kwargs,
    ) -> None:
        """Initializes the tower.

        Args:
          tower: layer from the features to `[batch, embedding_dim]`.
          table: name of a feature -> numbers, `[num_ids + 1, ...]`, row 0 for unknown
            ids; or their `{"shape": ..., "dtype": ...}` if a checkpoint will fill them.
          feature: name of the feature of ids, which are rows of the table.
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        self._autocast = False
        values = {name: _parsed(name, column) for name, column in table.items()}
        sizes = {name: shape[0] for name, (shape, _, _) in values.items()}
        if feature not in sizes or len(set(sizes.values())) > 1:
            raise ValueError(
                f"`table` must have the feature `{feature}` and as many rows of all "
                f"features. Got rows {sizes}."
            )
        self.tower = tower
        self.table = {
            name: {"shape": list(shape), "dtype": dtype}
            for name, (shape, dtype, _) in values.items()
        }
        self.feature = feature
        self._num_rows = sizes[feature]
        self._columns = {
            name: self.add_weight(
                f"table_{name}",
                shape,
                dtype,
                initializer=lambda *_, value=value, **__: value,
                trainable=False,
                experimental_autocast=False,  # the tower casts, after standardising
            )
            for name, (shape, dtype, value) in values.items()
        }

    def call(self, features: Features, training: bool = False) -> tf.Tensor:
        """Embeds a batch of ids.

        Args:
          features: batch with the ids, `[batch]` integers; ids without a row in the
            table are unknown. Other features of the table are replaced.
          training: whether the tower is in training.

        Returns:
          `[batch, embedding_dim]`.

        Raises:
          ValueError: the feature is missing.
        """
        if self.feature not in features:
            raise ValueError(
                f"Feature `{self.feature}` is missing. Got {sorted(features)}."
            )
        ids = tf.cast(features[self.feature], tf.int64)
        ids = tf.where((ids >= 0) & (ids < self._num_rows), ids, tf.zeros_like(ids))
        found = {name: tf.gather(column, ids) for name, column in self._columns.items()}
        return self.tower({**features, **found}, training=training)

    def assign(self, table: Mapping[str, np.ndarray]) -> None:
        """Replaces the values of the table.

        Args:
          table: name of a feature -> numbers, `[num_ids + 1, ...]`; it may have more
            features than the tower's.

        Raises:
          ValueError: a feature is missing or has another shape.
        """
        for name, column in self._columns.items():
            shape = np.shape(table[name]) if name in table else None
            if shape != tuple(column.shape):
                raise ValueError(
                    f"`table` must have the feature `{name}` with the shape "
                    f"{tuple(column.shape)}. Got {shape}."
                )
            column.assign(tf.cast(table[name], column.dtype))

    def vocabulary_rows(self) -> list[VocabularyRows]:
        """Returns the columns of the table, which are data of the ids."""
        return [
            VocabularyRows(column, self.feature, "data")
            for column in self._columns.values()
        ]

    def get_config(self) -> dict:
        tower = tf.keras.utils.serialize_keras_object(self.tower)
        return super().get_config() | {
            "tower": tower,
            "table": self.table,
            "feature": self.feature,
        }


def _parsed(name: str, column: object) -> tuple[tuple[int, ...], str, tf.Tensor]:
    """Returns shape, dtype and values of a column; zeros if it has no values."""
    if isinstance(column, Mapping):
        shape, dtype = tuple(column["shape"]), column["dtype"]
        return shape, dtype, tf.zeros(shape, dtype)
    values = np.asarray(column)
    if values.ndim < 1 or values.dtype.kind not in "iuf":
        raise ValueError(
            f"Feature `{name}` of `table` must be numbers [num_ids + 1, ...]. Got "
            f"{values.dtype} of shape {values.shape}."
        )
    return values.shape, values.dtype.name, tf.constant(values)
