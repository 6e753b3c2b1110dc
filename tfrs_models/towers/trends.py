"""Towers whose scores have the trends of items as additional dimensions."""

import tensorflow as tf

from tfrs_models._keras import FromConfig, register
from tfrs_models.types import Features

TRENDS = "trends"


@register
class TrendWeights(FromConfig, tf.keras.layers.Layer):
    """Extends a query's embedding by its weights of the items' trend features.

    The weights are learned, and depend linearly on the embedding: some users want what
    is new. They are 0 at the start, so that trends change no score before training has
    found them useful. The score of an item stays a dot product, with the embedding of
    `WithTrends`.

    Example:
      >>> item = tm.data.Feature("item_id", "id", num_values=9)
      >>> users = tm.towers.FeatureTower([item], embedding_dim=4)
      >>> tower = tm.towers.TrendWeights(users, num_trends=3)
      >>> tower({"item_id": np.array([1, 2])}).shape
      TensorShape([2, 7])
    """

    def __init__(self, tower: tf.keras.layers.Layer, num_trends: int, **kwargs) -> None:
        """Initializes the layer.

        Args:
          tower: layer from features to `[batch, embedding_dim]`.
          num_trends: number of trend features of an item.
          **kwargs: arguments of `tf.keras.layers.Layer`.

        Raises:
          ValueError: the number of trend features is below 1.
        """
        super().__init__(**kwargs)
        self._autocast = False
        self.tower = tower
        self.num_trends = _checked(num_trends)
        self._weigh = tf.keras.layers.Dense(
            num_trends, kernel_initializer="zeros", dtype="float32", name="weigh"
        )

    def call(
        self, features: Features, training: bool = False, **options: object
    ) -> tf.Tensor:
        """Embeds a batch.

        Args:
          features: features of the tower.
          training: True in a training step.
          **options: additional arguments of the tower, such as `return_sequences`.

        Returns:
          `[batch, embedding_dim + num_trends]` float32, the weights last.
        """
        embedding = tf.cast(
            self.tower(features, training=training, **options), tf.float32
        )
        return tf.concat([embedding, self._weigh(embedding)], axis=-1)

    def get_config(self) -> dict:
        return super().get_config() | {
            "tower": tf.keras.utils.serialize_keras_object(self.tower),
            "num_trends": self.num_trends,
        }


@register
class WithTrends(FromConfig, tf.keras.layers.Layer):
    """Extends an item's embedding by its trend features, ready to be indexed.

    Example:
      >>> item = tm.data.Feature("item_id", "id", num_values=9)
      >>> items = tm.towers.FeatureTower([item], embedding_dim=4)
      >>> tower = tm.towers.WithTrends(items, num_trends=3)
      >>> tower({"item_id": np.array([1, 2]), "trends": np.ones([2, 3])}).shape
      TensorShape([2, 7])
    """

    def __init__(self, tower: tf.keras.layers.Layer, num_trends: int, **kwargs) -> None:
        """Initializes the layer.

        Args:
          tower: layer from the item's features to `[batch, embedding_dim]`.
          num_trends: number of trend features of an item.
          **kwargs: arguments of `tf.keras.layers.Layer`.

        Raises:
          ValueError: the number of trend features is below 1.
        """
        super().__init__(**kwargs)
        self._autocast = False
        self.tower = tower
        self.num_trends = _checked(num_trends)

    def call(self, features: Features, training: bool = False) -> tf.Tensor:
        """Embeds a batch.

        Args:
          features: features of the tower, and `trends`, `[batch, num_trends]`.
          training: True in a training step.

        Returns:
          `[batch, embedding_dim + num_trends]` float32, the trends last.

        Raises:
          ValueError: the trends are missing, or of another number.
        """
        if TRENDS not in features:
            raise ValueError(
                f"Feature `{TRENDS}`, the trend features of the items at some time, is "
                "missing: `data.TrendTable.add_to` adds it to batches of candidates. "
                f"Got {sorted(features)}."
            )
        trends = tf.cast(features[TRENDS], tf.float32)
        if trends.shape.rank != 2 or trends.shape[1] not in (None, self.num_trends):
            raise ValueError(
                f"Feature `{TRENDS}` must be [batch, {self.num_trends}], the trend "
                f"features of the model. Got shape {trends.shape}."
            )
        embedding = tf.cast(self.tower(features, training=training), tf.float32)
        return tf.concat([embedding, trends], axis=-1)

    def get_config(self) -> dict:
        return super().get_config() | {
            "tower": tf.keras.utils.serialize_keras_object(self.tower),
            "num_trends": self.num_trends,
        }


def _checked(num_trends: int) -> int:
    if num_trends < 1:
        raise ValueError(f"`num_trends` must be at least 1. Got {num_trends}.")
    return num_trends
