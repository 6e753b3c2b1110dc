"""A tower whose embeddings have length one."""

import tensorflow as tf

from tfrs_models._keras import FromConfig, register
from tfrs_models.types import Features


@register
class UnitNorm(FromConfig, tf.keras.layers.Layer):
    """Scales the output of a tower to unit length.

    Dot products are then cosines: no item wins by the length of its vector, and one
    temperature suits every batch.
    """

    def __init__(self, tower: tf.keras.layers.Layer, **kwargs) -> None:
        """Initializes the layer.

        Args:
          tower: layer from features to `[batch, embedding_dim]`.
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        self._autocast = False
        self.tower = tower

    def call(
        self, features: Features, training: bool = False, **options: object
    ) -> tf.Tensor:
        """Embeds a batch.

        Args:
          features: features of the tower.
          training: whether the tower is in training.
          **options: additional arguments of the tower, such as `return_sequences`.

        Returns:
          Unit-length embeddings, `[batch, embedding_dim]` float32.
        """
        embedding = tf.cast(
            self.tower(features, training=training, **options), tf.float32
        )
        return tf.math.l2_normalize(embedding, axis=-1)

    def get_config(self) -> dict:
        tower = tf.keras.utils.serialize_keras_object(self.tower)
        return super().get_config() | {"tower": tower}
