"""One embedding for each user."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.layers.embedding.hashed import HashedEmbedding
from tfrs_models.ops.features.read_features import id_feature
from tfrs_models.torch_weights import Arrays, Targets, TorchArray, TorchPort
from tfrs_models.types import Features


@register
class UserId(TorchPort, tf.keras.layers.Layer):
    """Looks the user's id up in a table.

    Integer ids are taken modulo the number of buckets, strings are hashed. With
    `id_dropout` there is one vector more, for the unknown user: it replaces that share
    of the ids in training, so that it means something at serving, where a negative id
    or an empty string stands for the unknown user.
    """

    def __init__(
        self,
        num_buckets: int,
        embedding_dim: int,
        *,
        id_dropout: float = 0.0,
        feature: str = "user_id",
        **kwargs,
    ) -> None:
        """Initializes the tower.

        Args:
          num_buckets: Rows of the table.
          embedding_dim: Width of the output.
          id_dropout: Share of ids that training replaces by the unknown user, in
            [0, 1).
          feature: Name of the id's feature.
          **kwargs: Of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        if not 0 <= id_dropout < 1:
            raise ValueError(f"`id_dropout` must be in [0, 1). Got {id_dropout}.")
        self.num_buckets = num_buckets
        self.embedding_dim = embedding_dim
        self.id_dropout = id_dropout
        self.feature = feature
        self.embedding = HashedEmbedding(num_buckets, embedding_dim)
        if id_dropout:
            self.unknown = self.add_weight(
                "unknown", (embedding_dim,), initializer="uniform"
            )

    def call(self, features: Features, training: bool = False) -> tf.Tensor:
        """Embeds the users.

        Args:
          features: Holds the id, `[batch]` integers or strings.
          training: Whether ids are dropped.

        Returns:
          `[batch, embedding_dim]`.

        Raises:
          ValueError: the id is missing or of another dtype.
        """
        ids = id_feature(features, self.feature)
        embedding = self.embedding(ids)
        if not self.id_dropout:
            return embedding
        if ids.dtype == tf.string:
            unknown = ids == ""
        else:  # an unsigned id is never below 0, whatever it is as int64
            given = tf.convert_to_tensor(features[self.feature])
            unknown = (ids < 0) & (not given.dtype.is_unsigned)
        if training:
            unknown |= tf.random.uniform(tf.shape(ids)) < self.id_dropout
        return tf.where(unknown[:, None], self.unknown, embedding)

    def torch_arrays(self, arrays: Arrays) -> Targets:
        """The original's table of users.

        Args:
          arrays: Not needed.
        """
        del arrays
        return {"user_id_embedding_arch.weight": TorchArray(self.embedding.table)}

    def get_config(self) -> dict:
        return super().get_config() | {
            "num_buckets": self.num_buckets,
            "embedding_dim": self.embedding_dim,
            "id_dropout": self.id_dropout,
            "feature": self.feature,
        }
