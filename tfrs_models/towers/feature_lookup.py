"""A tower that knows the features of every id."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfrs_models._keras import FromConfig, register
from tfrs_models.types import Features


@register
class FeatureLookup(FromConfig, tf.keras.layers.Layer):
    """Looks an id's features up in a table and gives them to a tower.

    Whoever has ids only, such as a tower over histories, then needs no features of the
    items. The table is part of the weights: it is saved, but not trained.
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
          tower: From the features to `[batch, embedding_dim]`.
          table: Feature -> `[num_ids + 1, ...]` numbers, row 0 for the unknown; or
            their `{"shape": ..., "dtype": ...}`, where a checkpoint will fill them.
          feature: The feature that holds the ids: rows of the table.
          **kwargs: Of `tf.keras.layers.Layer`.
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
          features: Holds `feature`, `[batch]` integers; those that are no row of the
            table are unknown. The other features of the table are not read.
          training: Passed on to the tower.

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

    def get_config(self) -> dict:
        tower = tf.keras.utils.serialize_keras_object(self.tower)
        return super().get_config() | {
            "tower": tower,
            "table": self.table,
            "feature": self.feature,
        }


def _parsed(name: str, column: object) -> tuple[tuple[int, ...], str, tf.Tensor]:
    """Shape, dtype and values of a column; zeros where only its layout is given."""
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
