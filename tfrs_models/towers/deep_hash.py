"""A tower that computes the embedding of an id from its hashes."""

from typing import Literal

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.layers.embedding.deep_hash_code import DeepHashCode
from tfrs_models.layers.mlp import MLP
from tfrs_models.ops.features.read_features import id_feature
from tfrs_models.torch_weights import Arrays, Targets, TorchPort
from tfrs_models.types import Features, VocabularyRows

STACK = ("dhe_stack.0", "dhe_stack.2", "dhe_stack.4", "dhe_stack.6")


@register
class DeepHash(TorchPort, tf.keras.layers.Layer):
    """Hashes the user's id many times and projects the hashes with four dense layers.

    Its size depends on the widths only, not on the number of users, and no two users
    have the same code.

    Example:
      >>> tower = tm.towers.DeepHash(3, num_hashes=8)
      >>> users = tower({"user_id": np.array(["ann", "bob", "ann"])}).numpy()
      >>> bool((users[0] == users[2]).all()), bool((users[0] == users[1]).all())
      (True, False)

    Reference:
      Kang et al., Learning to embed categorical features without embedding tables for
      recommendation, KDD 2021.
    """

    def __init__(
        self,
        embedding_dim: int,
        *,
        num_hashes: int = 1024,
        num_buckets: int = 1_000_000,
        encoding: Literal["uniform", "normal"] = "uniform",
        seed: int = 0,
        feature: str = "user_id",
        **kwargs,
    ) -> None:
        """Initializes the tower.

        Args:
          embedding_dim: width of the output and of the layers before it.
          num_hashes: number of hashes, the width of the code.
          num_buckets: number of values of a hash.
          encoding: distribution of the code: `"uniform"` in [-1, 1] or `"normal"`.
          seed: seed of the hashes.
          feature: name of the id's feature.
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        if embedding_dim < 1:
            raise ValueError(
                f"`embedding_dim` must be at least 1. Got {embedding_dim}."
            )
        self.embedding_dim = embedding_dim
        self.num_hashes = num_hashes
        self.num_buckets = num_buckets
        self.encoding = encoding
        self.seed = seed
        self.feature = feature
        self.code = DeepHashCode(
            num_hashes, num_buckets=num_buckets, encoding=encoding, seed=seed
        )
        self.stack = MLP([embedding_dim] * len(STACK))
        self.stack.build((None, num_hashes))

    def call(self, features: Features) -> tf.Tensor:
        """Embeds the users.

        Args:
          features: batch with the ids, `[batch]` integers or strings.

        Returns:
          `[batch, embedding_dim]`.

        Raises:
          ValueError: the id is missing or of another dtype.
        """
        return self.project(self.encode(id_feature(features, self.feature)))

    def encode(self, ids: tf.Tensor) -> tf.Tensor:
        """Computes the codes of ids, the same for equal ids.

        Args:
          ids: integers or strings, `[batch]`.

        Returns:
          `[batch, num_hashes]` float32.
        """
        return self.code(ids)

    def project(self, codes: tf.Tensor) -> tf.Tensor:
        """Computes the embeddings of codes.

        Args:
          codes: codes of ids, `[batch, num_hashes]`.

        Returns:
          `[batch, embedding_dim]`.
        """
        return self.stack(codes)

    def torch_arrays(self, arrays: Arrays) -> Targets:
        """Maps the original's dense layers; it draws its hashes anew in every call.

        Args:
          arrays: state dict of the original.
        """
        return self.stack.torch_arrays(STACK, arrays)

    def vocabulary_rows(self) -> list[VocabularyRows]:
        """Returns the hashes, which ids that are numbers must not change for."""
        return [VocabularyRows(self.code.multipliers, self.feature, "refuse")]

    def get_config(self) -> dict:
        return super().get_config() | {
            "embedding_dim": self.embedding_dim,
            "num_hashes": self.num_hashes,
            "num_buckets": self.num_buckets,
            "encoding": self.encoding,
            "seed": self.seed,
            "feature": self.feature,
        }
