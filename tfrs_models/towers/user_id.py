"""One embedding for each user."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.types import Features


@register
class UserId(tf.keras.layers.Layer):
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
        if num_buckets < 1 or embedding_dim < 1:
            raise ValueError(
                "`num_buckets` and `embedding_dim` must be at least 1. "
                f"Got {num_buckets} and {embedding_dim}."
            )
        if not 0 <= id_dropout < 1:
            raise ValueError(f"`id_dropout` must be in [0, 1). Got {id_dropout}.")
        self.num_buckets = num_buckets
        self.embedding_dim = embedding_dim
        self.id_dropout = id_dropout
        self.feature = feature
        self.table = self.add_weight(
            "table", (num_buckets, embedding_dim), initializer="uniform"
        )
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
        ids = _ids(features, self.feature)
        if ids.dtype == tf.string:
            rows = tf.strings.to_hash_bucket_fast(ids, self.num_buckets)
            unknown = ids == ""
        else:
            rows = tf.math.floormod(ids, self.num_buckets)
            unknown = ids < 0
        embedding = tf.gather(self.table, rows)
        if not self.id_dropout:
            return embedding
        if training:
            unknown |= tf.random.uniform(tf.shape(ids)) < self.id_dropout
        return tf.where(unknown[:, None], self.unknown, embedding)

    def get_config(self) -> dict:
        return super().get_config() | {
            "num_buckets": self.num_buckets,
            "embedding_dim": self.embedding_dim,
            "id_dropout": self.id_dropout,
            "feature": self.feature,
        }


def _ids(features: Features, name: str) -> tf.Tensor:
    if name not in features:
        raise ValueError(f"Feature `{name}` is missing. Got {sorted(features)}.")
    ids = tf.convert_to_tensor(features[name])
    if not (ids.dtype.is_integer or ids.dtype == tf.string):
        raise ValueError(
            f"Feature `{name}` must be integers or strings. Got {ids.dtype.name}."
        )
    if ids.shape.rank != 1:
        raise ValueError(f"Feature `{name}` must be [batch]. Got shape {ids.shape}.")
    return ids if ids.dtype == tf.string else tf.cast(ids, tf.int64)
