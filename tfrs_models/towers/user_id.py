"""A tower with one embedding for each user."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.layers.draws import Draws
from tfrs_models.layers.embedding.hashed import HashedEmbedding
from tfrs_models.ops.features.read_features import id_feature
from tfrs_models.torch_weights import Arrays, Targets, TorchArray, TorchPort
from tfrs_models.types import Features, VocabularyRows


@register
class UserId(Draws, TorchPort, tf.keras.layers.Layer):
    """Looks up the embedding of the user's id in a table.

    Integer ids are taken modulo the number of buckets, strings are hashed. With
    `id_dropout` there is one more vector, for unknown users: it replaces that share of
    the ids in training, and so is trained. At serving, a negative id or an empty string
    stands for an unknown user.

    Example:
      >>> tower = tm.towers.UserId(1000, 4, id_dropout=0.1)
      >>> users = tower({"user_id": np.array(["ann", "bob", "", ""])})
      >>> users.shape, bool(np.array_equal(users[2], users[3]))
      (TensorShape([4, 4]), True)
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
          num_buckets: number of rows of the table.
          embedding_dim: width of the output.
          id_dropout: share of ids that training replaces by the unknown user, in
            [0, 1).
          feature: name of the id's feature.
          **kwargs: arguments of `tf.keras.layers.Layer`.
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
          features: batch with the ids, `[batch]` integers or strings.
          training: whether ids are dropped.

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
        else:  # a large unsigned id would be negative as int64
            given = tf.convert_to_tensor(features[self.feature])
            unknown = (ids < 0) & (not given.dtype.is_unsigned)
        if training:
            draw = tf.random.stateless_uniform(tf.shape(ids), self.next_seed())
            unknown |= draw < self.id_dropout
        return tf.where(unknown[:, None], self.unknown, embedding)

    def torch_arrays(self, arrays: Arrays) -> Targets:
        """Maps the original's table of users.

        Args:
          arrays: state dict of the original, which is not needed.
        """
        del arrays
        return {"user_id_embedding_arch.weight": TorchArray(self.embedding.table)}

    def vocabulary_rows(self) -> list[VocabularyRows]:
        """Returns the table, whose rows are users if ids are indices of users."""
        return [VocabularyRows(self.embedding.table, self.feature)]

    def get_config(self) -> dict:
        return super().get_config() | {
            "num_buckets": self.num_buckets,
            "embedding_dim": self.embedding_dim,
            "id_dropout": self.id_dropout,
            "feature": self.feature,
        }
