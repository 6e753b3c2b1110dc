"""The factorisation machine."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.feature import Feature
from tfrs_models.layers.interaction.active_values import (
    active_values,
    add_bias_and_table,
)
from tfrs_models.ops.features.declared_features import parse_features
from tfrs_models.types import Features, VocabularyRows


@register
class FactorizationMachine(tf.keras.layers.Layer):
    """FM: sums a bias, a weight of each active value and an inner product of each pair.

    `b + sum_i w_i x_i + sum_{i<j} <v_i, v_j> x_i x_j` over the active values `x_i` of
    all fields, all values of a bag included. The pairs take time linear in the number
    of values: `1/2 sum_d ((sum_i v_id x_i)^2 - sum_i (v_id x_i)^2)`.

    The value of an id is 1; index 0 and ids beyond the known ones share the row of
    unknown ids. Each of the `n` known values of a bag has the value `1 / sqrt(n)`, the
    others 0. A number has its value after standardisation by its `Feature`. A vector,
    scaled to unit length, is one active value of 1, whose `w` and `v` are linear maps
    of it: it meets the other fields, but its components do not meet each other.

    Example:
      >>> fields = [tm.data.Feature("user", "id", 9), tm.data.Feature("item", "id", 5)]
      >>> layer = tm.layers.FactorizationMachine(fields, embedding_dim=4)
      >>> layer({"user": np.array([1, 2, 3]), "item": np.array([5, 5, 0])}).shape
      TensorShape([3])

    Reference:
      Rendle, Factorization machines, ICDM 2010.
    """

    def __init__(
        self, fields: Sequence[Feature | Mapping], embedding_dim: int, **kwargs
    ) -> None:
        """Initializes the layer.

        Args:
          fields: declarations of the features.
          embedding_dim: width of the vectors `v_i`.
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        self._autocast = False  # numbers are standardised before they lose precision
        self.fields = parse_features(fields, "fields")
        if embedding_dim < 1:
            raise ValueError(
                f"`embedding_dim` must be at least 1. Got {embedding_dim}."
            )
        self.embedding_dim = embedding_dim
        self.bias, self.table = add_bias_and_table(self, self.fields, embedding_dim)

    def call(self, features: Features) -> tf.Tensor:
        """Computes the logit of each row.

        Args:
          features: values of the declared fields and of no others: ids `[batch]` and
            bags `[batch, length]` of integers, numbers `[batch]` and vectors `[batch,
            dim]`.

        Returns:
          `[batch]` logits in the dtype of the weights: float32 in mixed precision.

        Raises:
          ValueError: a feature is missing, undeclared, or of the wrong dtype or
            shape.
          InvalidArgumentError: an index is negative, or a number or vector not finite.
        """
        return self.with_embeddings(features)[0]

    def with_embeddings(self, features: Features) -> tuple[tf.Tensor, tf.Tensor]:
        """Computes the logit of each row, and the embedding of each field.

        Args:
          features: values of the declared fields, as `call` takes them.

        Returns:
          `[batch]` logits, and `[batch, num_fields, embedding_dim]` embeddings: the sum
          of `v_i x_i` over the values of the field.
        """
        active = active_values(features, self.fields, self.table.dtype)
        terms = active.terms(self.table)
        linear, vectors = terms[..., 0], terms[..., 1:]
        embeddings = active.by_field(vectors)
        squares = tf.reduce_sum(tf.reduce_sum(embeddings, axis=1) ** 2, axis=1)
        pairs = (squares - tf.reduce_sum(vectors**2, axis=[1, 2])) / 2
        return self.bias + tf.reduce_sum(linear, axis=1) + pairs, embeddings

    def vocabulary_rows(self) -> list[VocabularyRows]:
        """Returns the table, whose rows are the values of all fields."""
        return [
            VocabularyRows(self.table, field.name, "refuse")
            for field in self.fields
            if field.kind in ("id", "bag")
        ]

    def get_config(self) -> dict:
        return super().get_config() | {
            "fields": [asdict(field) for field in self.fields],
            "embedding_dim": self.embedding_dim,
        }
